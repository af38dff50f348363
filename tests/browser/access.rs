//! Whether everybody can read and use the dashboard: contrast, names, width, motion, and axe-core where that is at hand.

use serde_json::json;

use super::barriers::{LOOKS, axe, nameless, show_on};
use super::webdriver::Browser;
use super::{demo, run, stage};

#[test]
fn everyone_can_read_and_reach_it_in_light_and_dark_on_a_desk_and_on_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let service = stage("outage", "5");
    browser.open(&service.url("/?symbols=BTC,DOGE,AAPL,nope&interval=1m"));
    browser.run(LOOKS);
    run(
        &browser,
        "await until(() => priced('BTC') && state() === 'live'); document.querySelector('#sources').open = true;",
    );
    // With a list of finds open, and everything stale: most of what the page can show.
    browser.type_into("#query", "e");
    run(&browser, "await until(() => document.querySelectorAll('#options li').length > 1);");
    run(
        &browser,
        "await until(() => rows().slice(0, 3).every(row => row.dataset.status === 'stale') && document.querySelectorAll('#source-rows tr').length);",
    );
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (320, "dark")] {
        show_on(&browser, width, scheme);
        let seen = run(
            &browser,
            "await new Promise(requestAnimationFrame);
             return { texts: contrasts(), twice: doubleIds(), wide: document.documentElement.scrollWidth - document.documentElement.clientWidth };",
        );
        let texts = seen["texts"].as_array().unwrap();
        assert!(texts.len() > 60, "the check saw little: {}", texts.len());
        let faint: Vec<_> =
            texts.iter().filter(|t| t["ratio"].as_f64().unwrap() < t["least"].as_f64().unwrap()).collect();
        assert!(faint.is_empty(), "{scheme}, {width} px: {faint:?}");
        assert_eq!(seen["twice"], json!([]));
        assert_eq!(seen["wide"], 0, "the page scrolls sideways at {width} px");
    }
    let nameless = nameless(&browser, 40);
    assert!(nameless.is_empty(), "{nameless:?}");
    axe(&browser);
}

#[test]
fn who_asks_for_reduced_motion_sees_prices_change_and_nothing_move() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    let moved =
        "await until(() => state() === 'live' && rows().length > 1 && rows().every(row => row.dataset.move));
         return document.getAnimations().length;";
    browser.open(&service.url("/"));
    assert_ne!(run(&browser, moved), 0, "what moves for others");
    let media = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
    browser.devtools("Emulation.setEmulatedMedia", &media);
    browser.open(&service.url("/"));
    assert_eq!(run(&browser, moved), 0);
}
