//! The metrics as Prometheus text, format 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>; names as OpenTelemetry translates them,
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

use std::fmt::Write;

use super::metrics::{Attributes, METRICS, MetricKind, Value};
use crate::Health;

/// The content type of what [`render`] writes.
#[cfg(feature = "axum")]
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn render(health: &Health, engine: Option<&str>) -> String {
    let mut text = String::with_capacity(8192);
    for metric in METRICS {
        let name = metric.prometheus_name();
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            _ => "gauge",
        };
        text.push_str("# HELP ");
        text.push_str(&name);
        text.push(' ');
        text.push_str(metric.description);
        text.push_str("\n# TYPE ");
        text.push_str(&name);
        text.push(' ');
        text.push_str(kind);
        text.push('\n');
        metric.read(health, &mut |attributes, value| {
            text.push_str(&name);
            labels(&mut text, engine, attributes);
            text.push(' ');
            number(&mut text, value);
            text.push('\n');
        });
    }
    text
}

fn labels(text: &mut String, engine: Option<&str>, attributes: &Attributes<'_>) {
    let engine = engine.map(|name| ("engine", name));
    let mut before = '{';
    for (name, value) in engine.into_iter().chain(attributes.iter().copied()) {
        text.push(before);
        text.push_str(name);
        text.push_str("=\"");
        escape(text, value);
        text.push('"');
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
}

/// Names of providers and engines are the application's and may hold anything.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

fn number(text: &mut String, value: Value) {
    // writing to a string cannot fail
    let _ = match value {
        Value::Count(n) => write!(text, "{n}"),
        Value::Seconds(s) => write!(text, "{s}"),
    };
}
