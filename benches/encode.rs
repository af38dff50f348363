//! One price message: written straight into a buffer, beside `serde_json` on a struct of texts.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{Service, textbook};
use tickcast::catalogue::SymbolId;
use tickcast::fields::{self, Field, FieldSet};
use tickcast::http::sse::{self, Cursor, Epoch};

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let mut service = Service::new(1);
    service.tick(0);
    let id = SymbolId(0);
    let catalogue = service.latest.catalogue();
    let entry = catalogue.entry(id);
    let all = Field::ALL.iter().fold(FieldSet::SYMBOL, |set, &field| set.with(field));
    for (name, fields) in [("default_fields", FieldSet::DEFAULT), ("all_fields", all)] {
        group.bench_function(name, |b| {
            let mut out = BytesMut::with_capacity(64 << 10);
            let now = tickcast::clock::wall();
            b.iter(|| {
                out.reserve(1024);
                service.latest.read(id, |view| {
                    sse::price_data(&mut out, |out| {
                        fields::write_json(out, fields, entry, view.ticker, view.version, now);
                    });
                    sse::price_end(&mut out, Cursor { epoch: Epoch(1), version: view.version });
                });
                black_box(out.split().freeze())
            });
        });
    }
    group.bench_function("serde_json_struct", |b| {
        let update = textbook::update(0, 1);
        b.iter(|| black_box(format!("data:{}\n\n", serde_json::to_string(&*update).unwrap())));
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
