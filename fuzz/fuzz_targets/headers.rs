//! What else a request's headers say: credentials, where it comes from, what it accepts.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tickcast::http::hostile::headers(input));
