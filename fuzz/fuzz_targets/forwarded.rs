//! What proxies say in headers about who asks: `X-Forwarded-For`, `Forwarded`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tickcast::http::hostile::forwarded(input));
