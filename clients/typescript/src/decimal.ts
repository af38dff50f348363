/** Decimals as text: compared and shown without ever being a binary float. */

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/

function parts(text: string): { negative: boolean; whole: string; fraction: string } {
  const [, sign, whole, fraction] = DECIMAL.exec(text) ?? []
  if (whole === undefined) throw new RangeError(`\`${text}\` is not a decimal such as 67012.34`)
  return { negative: sign === '-', whole: whole.replace(/^0+(?=\d)/, ''), fraction: fraction ?? '' }
}

/** The value as a whole number of units of `10 ** -decimals`, rounded half away from zero. */
function scaled(text: string, decimals: number): bigint {
  const { negative, whole, fraction } = parts(text)
  const kept = BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, '0'))
  const rounded = (fraction[decimals] ?? '0') >= '5' ? kept + 1n : kept
  return negative ? -rounded : rounded
}

/** Negative, zero or positive, as `a` is less than, equal to or more than `b`. For the direction of a price. */
export function compareDecimals(a: string, b: string): number {
  const decimals = Math.max(parts(a).fraction.length, parts(b).fraction.length)
  const difference = scaled(a, decimals) - scaled(b, decimals)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

/** The text with so many decimals, and groups of thousands if asked for: `formatDecimal('67012.345', 2, ',')` is `67,012.35`. */
export function formatDecimal(text: string, decimals: number, group = ''): string {
  const value = scaled(text, decimals)
  const digits = String(value < 0n ? -value : value).padStart(decimals + 1, '0')
  const at = digits.length - decimals
  const whole = digits.slice(0, at).replace(/\B(?=(\d{3})+$)/g, group)
  return `${value < 0n ? '-' : ''}${whole}${decimals ? `.${digits.slice(at)}` : ''}`
}
