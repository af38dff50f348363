//! What proxies say ahead of a connection: the PROXY protocol.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tickcast::http::hostile::proxy_header(input));
