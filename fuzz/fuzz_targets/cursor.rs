//! The cursor of a client that comes back: `Last-Event-ID`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tickcast::http::hostile::cursor(input));
