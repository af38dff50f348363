//! A session with Crypto.com's codec.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tickcast_feeds::Venue;

fuzz_target!(|input: &[u8]| tickcast_feeds_fuzz::session(Venue::CryptoCom, input));
