//! The query of /prices.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tickcast::http::hostile::query(input));
