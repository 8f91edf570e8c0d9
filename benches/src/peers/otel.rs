//! OpenTelemetry's log SDK: `BatchLogProcessor`, and with it the OTLP exporter over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_otlp::{LogExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogBatch, SdkLogger, SdkLoggerProvider,
};

use crate::e2e::Client;
use crate::hotpath::peer::{Call, Peer, QUEUE, wait};
use crate::request::Req;

fn emit(logger: &SdkLogger, request: &Req) {
    let mut record = logger.create_log_record();
    record.set_event_name("api.response");
    record.set_timestamp(SystemTime::now());
    record.set_severity_number(Severity::Info);
    record.add_attribute("session.id", AnyValue::from(request.session.clone()));
    record.add_attribute("request.id", AnyValue::from(request.request.clone()));
    record.add_attribute("user.id", AnyValue::from(request.user.clone()));
    record.add_attribute("api.method", AnyValue::from(request.method));
    record.add_attribute("api.path", AnyValue::from(request.path.clone()));
    record.add_attribute("api.status_code", AnyValue::from(i64::from(request.status)));
    record.add_attribute("api.duration_ms", AnyValue::from(request.millis()));
    logger.emit(record);
}

/// Counts what it is given.
#[derive(Clone, Debug)]
struct Counter(Arc<AtomicU64>);

impl opentelemetry_sdk::logs::LogExporter for Counter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.0
            .fetch_add(batch.iter().count() as u64, Ordering::Relaxed);
        Ok(())
    }
}

struct Caller {
    provider: SdkLoggerProvider,
    logger: SdkLogger,
    seen: Arc<AtomicU64>,
    requests: Arc<[Req]>,
}

/// The processor with an exporter that only counts.
pub(super) fn caller(requests: Arc<[Req]>) -> Box<dyn Peer> {
    let seen = Arc::new(AtomicU64::new(0));
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(512)
        .with_scheduled_delay(Duration::from_secs(1))
        .build();
    let processor = BatchLogProcessor::builder(Counter(Arc::clone(&seen)))
        .with_batch_config(config)
        .build();
    let provider = SdkLoggerProvider::builder()
        .with_log_processor(processor)
        .build();
    let logger = provider.logger("benches");
    Box::new(Caller {
        provider,
        logger,
        seen,
        requests,
    })
}

impl Call for Caller {
    fn name(&self) -> &'static str {
        "otel BatchLogProcessor"
    }

    #[inline]
    fn call(&self, index: usize) -> bool {
        emit(&self.logger, &self.requests[index]);
        true
    }

    fn drain(&self) {
        self.provider.force_flush().expect("otel flushes");
        let mut last = u64::MAX;
        wait("otel", || {
            let now = self.seen.load(Ordering::Relaxed);
            std::mem::replace(&mut last, now) == now
        });
    }
}

struct Otlp {
    provider: SdkLoggerProvider,
    logger: SdkLogger,
}

/// Over HTTP with protobuf; queue and batch size, or as it comes.
pub(super) fn client(url: &str, sizes: Option<(usize, usize)>) -> Box<dyn Client> {
    let exporter = LogExporter::builder()
        .with_http()
        .with_endpoint(format!("{url}/v1/logs"))
        .with_protocol(Protocol::HttpBinary)
        .build()
        .expect("an exporter");
    let mut config = BatchConfigBuilder::default();
    if let Some((queue, batch)) = sizes {
        config = config
            .with_max_queue_size(queue)
            .with_max_export_batch_size(batch);
    }
    let processor = BatchLogProcessor::builder(exporter)
        .with_batch_config(config.build())
        .build();
    let provider = SdkLoggerProvider::builder()
        .with_log_processor(processor)
        .build();
    let logger = provider.logger("benches");
    Box::new(Otlp { provider, logger })
}

impl Client for Otlp {
    fn track(&mut self, request: &Req, _: u64) -> bool {
        emit(&self.logger, request);
        true
    }

    fn shutdown(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(Duration::from_secs(30)) {
            eprintln!("otel: {error}");
        }
    }
}
