//! What one plugin may use. [`Limit::name`] is what errors, metrics and the operator's file call a limit.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::quantity::{Bytes, Time};

/// Whether calls share instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// An instance serves one call after another.
    #[default]
    Warm,
    /// Every call has a new instance: nothing of one call's memory is there in the next.
    Fresh,
}

/// The limits of one plugin. In the operator's file each has its name in camel case; bytes are
/// Kubernetes quantities (`64Mi`), times are durations (`30s`, `200ms`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Bytes of all linear memories and tables of one instance.
    #[serde(with = "Bytes")]
    pub memory: usize,
    /// How long one `reconcile` may take, waits for the API server included.
    #[serde(with = "Time")]
    pub reconcile_timeout: Duration,
    /// How long one `describe` may take.
    #[serde(with = "Time")]
    pub describe_timeout: Duration,
    /// How long one `map` may take.
    #[serde(with = "Time")]
    pub map_timeout: Duration,
    /// How long one `index` may take: a watch waits for it.
    #[serde(with = "Time")]
    pub index_timeout: Duration,
    /// Processor time of one `reconcile`, what the host does for it included.
    #[serde(with = "Time")]
    pub reconcile_cpu: Duration,
    /// Processor time of one `describe`, `map` or `index`.
    #[serde(with = "Time")]
    pub call_cpu: Duration,
    /// Processor time of all calls of the plugin in a second; over it, they wait.
    #[serde(with = "Time")]
    pub cpu_per_second: Duration,
    /// Of it, what the plugin may use on the threads that all plugins share. Over it, and in the middle of a
    /// long call, it goes on on threads that give way to those. As much as `cpuPerSecond`: it never does.
    #[serde(with = "Time")]
    pub prompt_cpu_per_second: Duration,
    /// Calls of the host in one call of the plugin.
    pub host_calls: u32,
    /// Bytes of one argument that the plugin passes: an object to write, a query.
    #[serde(with = "Bytes")]
    pub argument_bytes: usize,
    /// Bytes of one answer: an object, or a page of a list, which ends at the object that reaches it.
    #[serde(with = "Bytes")]
    pub answer_bytes: usize,
    /// Objects of one page of a list.
    pub page_items: u32,
    /// Bytes that the host sets aside to take one call's arguments or results in; more than `argumentBytes`,
    /// since lists and records cost more there than in the plugin.
    #[serde(with = "Bytes")]
    pub hostcall_bytes: usize,
    /// Handles that an instance may hold: streams, clocks, pollables.
    pub handles: u32,
    /// The most reconciles at once, whatever the plugin asks for.
    pub concurrency: u32,
    /// Requests to the API server in a second, on average.
    pub api_requests_per_second: u32,
    /// Requests to the API server at once, after a pause.
    pub api_requests_burst: u32,
    /// Kubernetes Events in a minute.
    pub events_per_minute: u32,
    /// Lines of the log in a second.
    pub log_lines_per_second: u32,
    /// Bytes of the log in a second.
    #[serde(with = "Bytes")]
    pub log_bytes_per_second: usize,
    /// Series of all metrics of the plugin.
    pub metric_series: u32,
    /// Whether calls share instances.
    pub isolation: Isolation,
    /// Calls that an instance serves before it is replaced.
    pub instance_calls: u32,
    /// Bytes of memory with which an instance is not used again.
    #[serde(with = "Bytes")]
    pub instance_memory: usize,
    /// How long an instance is kept that nobody calls.
    #[serde(with = "Time")]
    pub instance_idle: Duration,
    /// Keys that wait in the queue before the plugin's `map` is asked for more.
    pub queued_keys: u32,
    /// Bytes of all values of one object in one index.
    #[serde(with = "Bytes")]
    pub index_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            reconcile_timeout: Duration::from_secs(30),
            describe_timeout: Duration::from_secs(10),
            map_timeout: Duration::from_secs(5),
            index_timeout: Duration::from_millis(200),
            reconcile_cpu: Duration::from_secs(5),
            call_cpu: Duration::from_millis(500),
            cpu_per_second: Duration::from_secs(1),
            prompt_cpu_per_second: Duration::from_millis(300),
            host_calls: 100_000,
            argument_bytes: 4 << 20,
            answer_bytes: 8 << 20,
            page_items: 5_000,
            hostcall_bytes: 16 << 20,
            handles: 1_000,
            concurrency: 16,
            api_requests_per_second: 50,
            api_requests_burst: 100,
            events_per_minute: 60,
            log_lines_per_second: 200,
            log_bytes_per_second: 256 << 10,
            metric_series: 200,
            isolation: Isolation::Warm,
            instance_calls: 10_000,
            instance_memory: 32 << 20,
            instance_idle: Duration::from_secs(60),
            queued_keys: 100_000,
            index_bytes: 8 << 10,
        }
    }
}

impl Limits {
    fn times(&self) -> [(Limit, Duration); 8] {
        [
            (Limit::ReconcileTimeout, self.reconcile_timeout),
            (Limit::DescribeTimeout, self.describe_timeout),
            (Limit::MapTimeout, self.map_timeout),
            (Limit::IndexTimeout, self.index_timeout),
            (Limit::ReconcileCpu, self.reconcile_cpu),
            (Limit::CallCpu, self.call_cpu),
            (Limit::CpuPerSecond, self.cpu_per_second),
            (Limit::CpuPerSecond, self.prompt_cpu_per_second),
        ]
    }

    /// These, with those that the operator wrote down instead.
    ///
    /// # Errors
    /// A name that is no limit's, or a value that makes no sense.
    pub fn overridden(&self, by: &Map<String, Value>) -> Result<Self, BadLimits> {
        let bad = |error: serde_json::Error| BadLimits(error.to_string());
        let mut all = match serde_json::to_value(self).map_err(bad)? {
            Value::Object(all) => all,
            _ => Map::new(),
        };
        all.extend(by.iter().map(|(name, value)| (name.clone(), value.clone())));
        let limits: Self = serde_json::from_value(Value::Object(all)).map_err(bad)?;
        for (name, time) in limits.times() {
            if time > LONGEST {
                return Err(BadLimits(format!("{name} is {time:?}, and must be at most {LONGEST:?}")));
            }
        }
        if limits.concurrency == 0 {
            return Err(BadLimits("concurrency is 0, and must be at least 1".to_owned()));
        }
        if limits.instance_idle > LONGEST {
            return Err(BadLimits(format!("instanceIdle must be at most {LONGEST:?}")));
        }
        if limits.cpu_per_second.is_zero() {
            return Err(BadLimits("cpuPerSecond is 0, with which nothing ever runs".to_owned()));
        }
        Ok(limits)
    }
}

/// The longest that any time may be.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Limits that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLimits(String);

/// Which limit was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the field of `Limits` with its name")]
pub enum Limit {
    Memory,
    ReconcileTimeout,
    DescribeTimeout,
    MapTimeout,
    IndexTimeout,
    ReconcileCpu,
    CallCpu,
    CpuPerSecond,
    HostCalls,
    ArgumentBytes,
    AnswerBytes,
    HostcallBytes,
    Handles,
    ApiRequestsPerSecond,
    EventsPerMinute,
    LogLinesPerSecond,
    LogBytesPerSecond,
    MetricSeries,
    QueuedKeys,
    IndexBytes,
    /// The host's: the wasm stack of one call.
    Stack,
    /// The host's: instances of all plugins.
    Instances,
    /// The host's, as the next three: of a component before it is compiled.
    ComponentBytes,
    CompileTimeout,
    CompileMemory,
    /// Of the code that comes of it.
    CompiledBytes,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Memory,
        Self::ReconcileTimeout,
        Self::DescribeTimeout,
        Self::MapTimeout,
        Self::IndexTimeout,
        Self::ReconcileCpu,
        Self::CallCpu,
        Self::CpuPerSecond,
        Self::HostCalls,
        Self::ArgumentBytes,
        Self::AnswerBytes,
        Self::HostcallBytes,
        Self::Handles,
        Self::ApiRequestsPerSecond,
        Self::EventsPerMinute,
        Self::LogLinesPerSecond,
        Self::LogBytesPerSecond,
        Self::MetricSeries,
        Self::QueuedKeys,
        Self::IndexBytes,
        Self::Stack,
        Self::Instances,
        Self::ComponentBytes,
        Self::CompileTimeout,
        Self::CompileMemory,
        Self::CompiledBytes,
    ];

    /// As errors, metrics and the operator's file have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::ReconcileTimeout => "reconcileTimeout",
            Self::DescribeTimeout => "describeTimeout",
            Self::MapTimeout => "mapTimeout",
            Self::IndexTimeout => "indexTimeout",
            Self::ReconcileCpu => "reconcileCpu",
            Self::CallCpu => "callCpu",
            Self::CpuPerSecond => "cpuPerSecond",
            Self::HostCalls => "hostCalls",
            Self::ArgumentBytes => "argumentBytes",
            Self::AnswerBytes => "answerBytes",
            Self::HostcallBytes => "hostcallBytes",
            Self::Handles => "handles",
            Self::ApiRequestsPerSecond => "apiRequestsPerSecond",
            Self::EventsPerMinute => "eventsPerMinute",
            Self::LogLinesPerSecond => "logLinesPerSecond",
            Self::LogBytesPerSecond => "logBytesPerSecond",
            Self::MetricSeries => "metricSeries",
            Self::QueuedKeys => "queuedKeys",
            Self::IndexBytes => "indexBytes",
            Self::Stack => "stack",
            Self::Instances => "instances",
            Self::ComponentBytes => "componentBytes",
            Self::CompileTimeout => "compileTimeout",
            Self::CompileMemory => "compileMemory",
            Self::CompiledBytes => "compiledBytes",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn overridden(by: Value) -> Result<Limits, BadLimits> {
        Limits::default().overridden(by.as_object().unwrap())
    }

    #[test]
    fn an_operator_overrides_some_and_the_others_stay() {
        let limits =
            overridden(json!({"memory": "128Mi", "reconcileTimeout": "1m30s", "isolation": "fresh"}));
        let expected = Limits {
            memory: 128 << 20,
            reconcile_timeout: Duration::from_secs(90),
            isolation: Isolation::Fresh,
            ..Limits::default()
        };
        assert_eq!(limits, Ok(expected));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_named() {
        for (by, problem) in [
            (json!({"memroy": 1}), "memroy"),
            (json!({"memory": "lots"}), "lots"),
            (json!({"memory": -1}), "-1"),
            (json!({"mapTimeout": "soon"}), "soon"),
            (json!({"concurrency": 0}), "concurrency"),
            (json!({"cpuPerSecond": "0s"}), "cpuPerSecond"),
            (json!({"isolation": "none"}), "none"),
            (json!({"reconcileTimeout": "2days"}), "reconcileTimeout"),
            (json!({"instanceIdle": "1000years"}), "instanceIdle"),
        ] {
            let error = overridden(by.clone()).unwrap_err().to_string();
            assert!(error.contains(problem), "{by}: {error}");
        }
    }

    #[test]
    fn every_limit_of_a_plugin_has_the_name_of_its_field() {
        let Value::Object(fields) = serde_json::to_value(Limits::default()).unwrap() else { panic!() };
        let of_the_host = [
            Limit::Stack,
            Limit::Instances,
            Limit::ComponentBytes,
            Limit::CompileTimeout,
            Limit::CompileMemory,
            Limit::CompiledBytes,
        ];
        for limit in Limit::ALL.into_iter().filter(|limit| !of_the_host.contains(limit)) {
            assert!(fields.contains_key(limit.name()), "{limit}");
        }
    }
}
