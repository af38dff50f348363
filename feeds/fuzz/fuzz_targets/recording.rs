//! Recordings: a bad line costs that line, and what a good one says is what another reader of JSON finds in it.

#![no_main]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bigdecimal::BigDecimal;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use tickcast_feeds_fuzz::exact;

use self::recording::{Content, Recording};

#[allow(dead_code, reason = "files are not opened here")]
#[path = "../../../src/recording.rs"]
mod recording;

fuzz_target!(|input: &[u8]| {
    let lines: Vec<_> = input.split(|&byte| byte == b'\n').collect();
    let mut due = (1..).zip(&lines).filter(|(_, line)| !line.trim_ascii().is_empty());
    for line in Recording::new(input) {
        let (number, written) = due.next().expect("no more lines than were written");
        let line = match line {
            Ok(line) => line,
            Err(bad) => {
                assert_eq!(bad.number, number);
                continue;
            }
        };
        assert_eq!(line.number, number);
        // What nobody asks for the reader does not look into, and the other one does: no UTF-8 there is no matter.
        let Ok(fields) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(written) else { continue };
        let text = |name: &str| {
            fields
                .get(name)
                .and_then(|value| serde_json::from_str::<Option<String>>(value.get()).ok().flatten())
        };
        let frame = text("frame").expect("a frame");
        match (line.content, text("enc"), text("op").as_deref()) {
            // The reader is strict: one text for the same bytes.
            (Content::Binary(bytes), Some(_), _) => assert_eq!(BASE64.encode(&bytes), frame),
            (Content::Binary(bytes), None, Some("binary")) => assert_eq!(bytes, frame.as_bytes()),
            (Content::Text(text), None, None | Some("text")) => assert_eq!(text, frame),
            other => panic!("{other:?} from {frame}"),
        }
        let time = fields.get("t").map(|value| value.get()).filter(|&text| text != "null");
        match (line.t, time) {
            (None, None) => {}
            (Some(t), Some(text)) => {
                let nanos = (exact(text) * 1_000_000_000_i64).with_scale(0);
                assert_eq!(nanos, BigDecimal::from(t.0), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(due.next(), None, "a line was passed over");
});
