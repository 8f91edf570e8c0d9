//! The metrics as OpenTelemetry instruments.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::Monitor;
use super::metrics::{METRICS, Metric, MetricKind, Value};
use crate::correlation::while_suppressed;

impl Monitor {
    /// Gives every one of the [metrics](super::METRICS) to OpenTelemetry's global meter provider, as
    /// observable instruments of the meter `productgraph`. Set the provider up before, and call this
    /// once for each engine.
    ///
    /// They are read when they are collected and cost nothing else. They keep no engine alive: once it
    /// is dropped, they have no values.
    pub fn observe(&self) {
        self.observe_with(&opentelemetry::global::meter("productgraph"));
    }

    /// [`Monitor::observe`] with a meter of the application's choice.
    pub fn observe_with(&self, meter: &Meter) {
        for metric in METRICS {
            self.instrument(meter, metric);
        }
    }

    fn instrument(&self, meter: &Meter, metric: &'static Metric) {
        let Metric {
            name,
            kind,
            unit,
            description,
            ..
        } = *metric;
        let monitor = self.clone();
        // what is returned is a name only: dropping it takes nothing back
        match kind {
            MetricKind::Counter => drop(
                meter
                    .u64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(description)
                    .with_callback(move |to| monitor.report(metric, to, whole))
                    .build(),
            ),
            MetricKind::UpDownCounter => drop(
                meter
                    .i64_observable_up_down_counter(name)
                    .with_unit(unit)
                    .with_description(description)
                    .with_callback(move |to| monitor.report(metric, to, signed))
                    .build(),
            ),
            MetricKind::Gauge => drop(
                meter
                    .f64_observable_gauge(name)
                    .with_unit(unit)
                    .with_description(description)
                    .with_callback(move |to| monitor.report(metric, to, real))
                    .build(),
            ),
        }
    }

    fn report<T>(&self, metric: &Metric, to: &dyn AsyncInstrument<T>, number: fn(Value) -> T) {
        let is_gone = |pipeline: &std::sync::Weak<_>| pipeline.strong_count() == 0;
        if self.pipeline.as_ref().is_none_or(is_gone) {
            return;
        }
        while_suppressed(|| {
            let engine = self.name.as_deref();
            let engine = engine.map(|name| KeyValue::new("engine", name.to_owned()));
            metric.read(&self.health(), &mut |attributes, value| {
                let given = attributes.iter();
                let given = given.map(|(key, value)| KeyValue::new(*key, (*value).to_owned()));
                let all: Vec<_> = engine.iter().cloned().chain(given).collect();
                to.observe(number(value), &all);
            });
        });
    }
}

fn whole(value: Value) -> u64 {
    match value {
        Value::Count(n) => n,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no counter of seconds exists; one would be cut to whole ones"
        )]
        Value::Seconds(s) => s as u64,
    }
}

fn signed(value: Value) -> i64 {
    i64::try_from(whole(value)).unwrap_or(i64::MAX)
}

fn real(value: Value) -> f64 {
    match value {
        Value::Seconds(s) => s,
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge of counts holds failures in a row, not 2^53 of them"
        )]
        Value::Count(n) => n as f64,
    }
}
