// What a page must be for everybody who reads it: enough contrast, nothing beyond the edge, no id twice.

/** Red, green, blue (0 to 255) and alpha of a computed colour. */
const channels = text => {
  const parts = text.match(/-?[\d.]+(e-?\d+)?%?/g).map(parseFloat);
  const scale = text.startsWith('color(') ? 255 : 1;
  return [...parts.slice(0, 3).map(part => part * scale), parts[3] ?? 1];
};
const over = (top, ground) => [0, 1, 2].map(i => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
const luminance = colour => {
  const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
/** The colour behind an element's text; a hatch counts as its ground. */
const ground = element => {
  const layers = [];
  for (let node = element; node; node = node.parentElement) {
    const colour = channels(getComputedStyle(node).backgroundColor);
    if (colour[3] > 0) layers.unshift(colour);
    if (colour[3] === 1) break;
  }
  return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};

/** Every text that is shown, with its contrast, as `{text, ratio, least}`. */
window.contrasts = () => [...document.querySelectorAll('body *')].flatMap(element => {
  const text = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.data.trim()).join(' ').trim();
  if (!text || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || element.closest('.hidden-text, noscript, template')) return [];
  const style = getComputedStyle(element), size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const behind = ground(element);
  return [{ text: text.slice(0, 40), ratio: ratio(over(channels(style.color), behind), behind), least: large ? 3 : 4.5 }];
});

/** Ids that more than one element has. */
window.doubleIds = () => {
  const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
  return ids.filter((id, i) => ids.indexOf(id) !== i);
};
