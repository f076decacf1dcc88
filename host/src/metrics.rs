//! `/metrics`, in the OpenMetrics text format; names as controller-runtime and client-go have them
//! where they have the same thing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use wheelhouse_cache::InformerStats;
use wheelhouse_client::{ClientStats, EventStats, TIMED};
use wheelhouse_controller::Controller;
use wheelhouse_core::Kind;
use wheelhouse_core::printable::printable;
use wheelhouse_queue::QueueStats;

use crate::own_metrics;
use crate::plugins::{Account, Phase, Plugins};

/// All metrics of the host, as of now.
pub(crate) fn encode(plugins: &Plugins) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(plugins.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Scrape(Plugins);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

/// Bytes that are shown of a file's name.
const NAME: usize = 128;

/// Labels of one series.
type Labels<'a> = Vec<(&'a str, String)>;

/// One metric with all its series.
fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Labels<'static>, M)>,
) -> fmt::Result {
    let mut series = series.into_iter().peekable();
    let Some((_, first)) = series.peek() else { return Ok(()) };
    let kind = first.metric_type();
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in series {
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(value: impl TryInto<i64>) -> ConstGauge {
    ConstGauge::new(value.try_into().unwrap_or(i64::MAX))
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let plugins: Vec<(String, Arc<Controller>)> =
            self.0.controllers().into_iter().map(|c| (c.spec().name.clone(), c)).collect();
        self.reconciles(encoder, &plugins)?;
        queues(encoder, &plugins)?;
        instances(encoder, &plugins)?;
        usage(encoder, &plugins)?;
        self.breaches(encoder)?;
        events(encoder, &plugins)?;
        self.leases(encoder)?;
        own_metrics::encode(encoder, &plugins)?;
        self.caches(encoder, &plugins)?;
        self.files(encoder)?;
        self.host_events(encoder)?;
        self.requests(encoder)
    }
}

pub(crate) type Named = (String, Arc<Controller>);

fn of_plugin(plugin: &str) -> Labels<'static> {
    vec![("controller", plugin.to_owned())]
}

impl Scrape {
    /// As client-go has it.
    fn leases(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let standings = self.0.standings();
        let status = standings.iter().map(|standing| {
            let name = standing.lease.rsplit('/').next().unwrap_or_default();
            (vec![("name", name.to_owned())], gauge(i64::from(standing.leads)))
        });
        let help = "Whether this host holds the lease: 1 if it does, 0 if it stands by";
        family(encoder, "leader_election_master_status", help, status)
    }

    fn reconciles(&self, encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
        // What a plugin cannot ask for is there for those who add them up.
        let results = ["success", "requeue", "requeue_after", "error", "terminal_error", "trap", "timeout"];
        let by_result = plugins.iter().flat_map(|(name, controller)| {
            results.iter().map(move |result| {
                let count = controller.metrics().count(result);
                (
                    vec![("controller", name.clone()), ("result", (*result).to_owned())],
                    ConstCounter::new(count),
                )
            })
        });
        family(encoder, "controller_runtime_reconcile", "Reconciles by result", by_result)?;
        let errors =
            plugins.iter().map(|(name, c)| (of_plugin(name), ConstCounter::new(c.metrics().errors.get())));
        family(encoder, "controller_runtime_reconcile_errors", "Reconciles that did not end well", errors)?;
        let ended = |result: &'static str| {
            move |(name, c): &Named| (of_plugin(name), ConstCounter::new(c.metrics().count(result)))
        };
        let (terminal, help) =
            (plugins.iter().map(ended("terminal_error")), "Reconciles that are not retried");
        family(encoder, "controller_runtime_terminal_reconcile_errors", help, terminal)?;
        let (panics, help) = (plugins.iter().map(ended("trap")), "Reconciles that ended in a trap");
        family(encoder, "controller_runtime_reconcile_panics", help, panics)?;
        let seconds = plugins.iter().map(|(name, c)| (of_plugin(name), c.metrics().seconds.clone()));
        family(encoder, "controller_runtime_reconcile_time_seconds", "How long a reconcile takes", seconds)?;
        let active = plugins.iter().map(|(name, c)| (of_plugin(name), gauge(c.metrics().active.get())));
        family(encoder, "controller_runtime_active_workers", "Reconciles that run", active)?;
        let most = plugins.iter().map(|(name, c)| (of_plugin(name), gauge(c.workers())));
        let help = "Reconciles that may run at once";
        family(encoder, "controller_runtime_max_concurrent_reconciles", help, most)?;
        let swaps =
            plugins.iter().map(|(name, c)| (of_plugin(name), ConstCounter::new(c.metrics().swaps.get())));
        family(encoder, "wheelhouse_plugin_swaps", "Switches to another revision", swaps)?;
        let rollbacks = self.0.rollbacks();
        let rollbacks = rollbacks.iter().map(|(name, n)| (of_plugin(name), ConstCounter::new(*n)));
        let help = "Revisions that did worse than the one before them and were rolled back";
        family(encoder, "wheelhouse_plugin_rollbacks", help, rollbacks)?;
        dependencies(encoder, plugins)?;
        let denials = plugins.iter().flat_map(|(name, controller)| {
            controller.denials().into_iter().map(move |(verb, kind, count)| {
                let mut labels = of_plugin(name);
                labels.push(("verb", verb.to_string()));
                labels.push(("kind", kind.map_or_else(|| "other".to_owned(), |kind| kind.to_string())));
                (labels, ConstCounter::new(count))
            })
        });
        let help =
            "Requests that the gate denied; other stands for kinds that nobody has declared or granted";
        family(encoder, "wheelhouse_gate_denials", help, denials)
    }

    /// Of what does not run, too: it may be why.
    fn breaches(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A file may have the name of another's plugin.
        let mut counts: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
        for Account { name, runs, usage } in self.0.accounts() {
            for (limit, count) in usage.breaches().filter(|(_, count)| runs || *count > 0) {
                *counts.entry((printable(&name, NAME), limit.name())).or_default() += count;
            }
        }
        let breaches = counts.into_iter().map(|((name, limit), count)| {
            let labels = vec![("controller", name), ("limit", limit.to_owned())];
            (labels, ConstCounter::new(count))
        });
        family(encoder, "wheelhouse_limit_breaches", "How often a plugin went over each limit", breaches)
    }

    fn caches(&self, encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
        let stats = self.0.runtime().informers.stats();
        let of =
            |s: &InformerStats| vec![("kind", s.kind.as_str().to_owned()), ("scope", s.scope.to_string())];
        let with = |s: &InformerStats, label, value: &str| {
            let mut labels = of(s);
            labels.push((label, value.to_owned()));
            labels
        };
        let objects = stats.iter().map(|s| (of(s), gauge(s.objects)));
        family(encoder, "wheelhouse_cache_objects", "Objects in the cache", objects)?;
        let bytes = stats.iter().map(|s| (of(s), gauge(s.bytes)));
        family(encoder, "wheelhouse_cache_object_bytes", "Encoded size of the objects in the cache", bytes)?;
        let unreadable = stats.iter().map(|s| (of(s), gauge(s.unreadable)));
        let help = "Objects that are there and do not decode: the log names them";
        family(encoder, "wheelhouse_cache_unreadable_objects", help, unreadable)?;
        let entries = stats.iter().flat_map(|s| {
            s.index_entries.iter().map(move |(index, entries)| (with(s, "index", index), gauge(*entries)))
        });
        family(encoder, "wheelhouse_cache_index_entries", "Entries of each index", entries)?;
        let synced = stats.iter().map(|s| (of(s), gauge(i64::from(s.synced))));
        family(encoder, "wheelhouse_cache_synced", "Whether the first list is complete", synced)?;
        let first = stats.iter().filter_map(|s| Some((of(s), ConstGauge::new(s.first_sync?.as_secs_f64()))));
        family(encoder, "wheelhouse_cache_sync_seconds", "How long the first list took", first)?;
        let events = stats.iter().flat_map(|s| {
            s.events.iter().map(move |(kind, n)| (with(s, "type", kind), ConstCounter::new(*n)))
        });
        family(encoder, "wheelhouse_watch_events", "Watch events by type", events)?;
        let relists = stats.iter().map(|s| (of(s), ConstCounter::new(s.relists)));
        family(encoder, "wheelhouse_watch_relists", "Lists after the first", relists)?;
        let errors = stats.iter().flat_map(|s| {
            s.errors.iter().map(move |(reason, n)| (with(s, "reason", reason), ConstCounter::new(*n)))
        });
        family(encoder, "wheelhouse_watch_errors", "Lists and watches that failed, by reason", errors)?;
        let fallbacks = plugins.iter().flat_map(|(name, controller)| {
            let stats = controller.client().stats();
            stats.fallbacks.into_iter().map(move |(kind, count)| {
                let labels = vec![("kind", kind.as_str().to_owned()), ("controller", name.clone())];
                (labels, ConstCounter::new(count))
            })
        });
        family(encoder, "wheelhouse_cache_fallback", "Reads that the cache could not answer yet", fallbacks)?;
        let own = |count: fn(&ClientStats) -> u64| {
            move |(name, controller): &Named| (of_plugin(name), count(&controller.client().stats()))
        };
        let pending = plugins.iter().map(own(|stats| stats.own_writes)).map(|(l, n)| (l, gauge(n)));
        let help = "Own writes that the watch has not brought yet";
        family(encoder, "wheelhouse_own_writes_pending", help, pending)?;
        let expired =
            plugins.iter().map(own(|stats| stats.own_writes_expired)).map(|(l, n)| (l, ConstCounter::new(n)));
        let help = "Own writes that the watch had not brought within their time: reads may be older";
        family(encoder, "wheelhouse_own_writes_expired", help, expired)?;
        self.reads(encoder)
    }

    /// By where each file of the plugin folder is on its way.
    fn files(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let reports = self.0.reports();
        let of = |phase: Phase| reports.iter().filter(|report| report.phase == phase).count();
        let files =
            Phase::ALL.map(|phase| (vec![("phase", phase.as_str().to_owned())], gauge(of(phase) as u64)));
        family(encoder, "wheelhouse_plugin_files", "Files of the plugin folder by phase", files)
    }

    /// What the host itself has said.
    fn host_events(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let EventStats { sent, lost, .. } = self.0.voice().stats();
        let results = [("sent", sent), ("lost", lost)]
            .map(|(result, count)| (vec![("result", result.to_owned())], ConstCounter::new(count)));
        let help = "Kubernetes Events of the host itself that were sent to the API server or lost";
        family(encoder, "wheelhouse_host_events", help, results)
    }

    /// To the API server, of all plugins and of the host.
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.runtime().client.requests().counts();
        let series = counts.into_iter().map(|(code, method, host, count)| {
            let labels = vec![("code", code), ("method", method.to_owned()), ("host", host)];
            (labels, ConstCounter::new(count))
        });
        family(encoder, "rest_client_requests", "Requests to the API server", series)
    }

    /// By kind and by where the answer came from.
    fn reads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kinds = self.0.runtime().reads.kinds();
        let labels = |kind: &Kind, source: &str| {
            vec![("kind", kind.as_str().to_owned()), ("source", source.to_owned())]
        };
        let counts = kinds.iter().flat_map(|(kind, reads)| {
            [
                (labels(kind, "cache"), ConstCounter::new(reads.cached())),
                (labels(kind, "live"), ConstCounter::new(reads.live())),
            ]
        });
        family(encoder, "wheelhouse_reads", "Gets, lists and counts by who answered", counts)?;
        let seconds = kinds.iter().flat_map(|(kind, reads)| {
            [
                (labels(kind, "cache"), reads.cached_seconds.clone()),
                (labels(kind, "live"), reads.live_seconds.clone()),
            ]
        });
        let help = format!("How long reads take; of those from the cache, one in {TIMED} is timed");
        family(encoder, "wheelhouse_read_seconds", &help, seconds)
    }
}

/// Of plugins that track dependencies.
fn dependencies(encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
    let tracking: Vec<_> =
        plugins.iter().filter_map(|(name, c)| Some((of_plugin(name), c, c.dependencies()?))).collect();
    let counts = tracking.iter().map(|(labels, _, (count, _))| (labels.clone(), gauge(*count)));
    let help = "What a plugin's reconciles have read and is followed";
    family(encoder, "wheelhouse_dependencies", help, counts)?;
    let requeues = tracking.iter().map(|(labels, controller, _)| {
        (labels.clone(), ConstCounter::new(controller.metrics().dependency_requeues.get()))
    });
    let help = "Requests since something had changed that a reconcile had read";
    family(encoder, "wheelhouse_dependency_requeues", help, requeues)?;
    let coarsened =
        tracking.iter().map(|(labels, _, (_, times))| (labels.clone(), ConstCounter::new(*times)));
    let help = "How often all of a kind was followed, since a reconcile had read too much of it";
    family(encoder, "wheelhouse_dependencies_coarsened", help, coarsened)
}

fn queues(encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
    // controller-runtime's labels, of which the second says the first again, and its priorities: that of
    // what is live, and that of initial lists and resyncs.
    let name = |plugin: &str| -> Labels<'static> {
        vec![("name", plugin.to_owned()), ("controller", plugin.to_owned())]
    };
    let stats: Vec<_> = plugins.iter().map(|(plugin, c)| (plugin.as_str(), c.queue())).collect();
    let depth = stats.iter().flat_map(|(plugin, queue)| {
        [("0", queue.ready - queue.ready_low), ("-100", queue.ready_low)].map(|(priority, keys)| {
            let mut labels = name(plugin);
            labels.push(("priority", priority.to_owned()));
            (labels, gauge(keys as u64))
        })
    });
    family(encoder, "workqueue_depth", "Keys that wait", depth)?;
    let adds = stats.iter().map(|(plugin, queue)| (name(plugin), ConstCounter::new(queue.adds_total)));
    family(encoder, "workqueue_adds", "Keys that became ready", adds)?;
    let retries = stats.iter().map(|(plugin, queue)| (name(plugin), ConstCounter::new(queue.retries_total)));
    family(encoder, "workqueue_retries", "Keys that came back after a failure", retries)?;
    let delayed = stats.iter().map(|(plugin, queue)| (name(plugin), gauge(queue.delayed as u64)));
    family(encoder, "wheelhouse_workqueue_delayed", "Keys that wait for their time", delayed)?;
    let seconds = |time: fn(&QueueStats) -> Duration| {
        move |(plugin, queue): &(&str, QueueStats)| (name(plugin), ConstGauge::new(time(queue).as_secs_f64()))
    };
    let unfinished = stats.iter().map(seconds(|queue| queue.unfinished_work));
    family(
        encoder,
        "workqueue_unfinished_work_seconds",
        "How long the reconciles that run have run, together",
        unfinished,
    )?;
    let longest = stats.iter().map(seconds(|queue| queue.longest_running));
    let help = "How long the longest of the reconciles that run has run";
    family(encoder, "workqueue_longest_running_processor_seconds", help, longest)?;
    let queued = plugins.iter().map(|(plugin, c)| (name(plugin), c.metrics().queued.clone()));
    family(encoder, "workqueue_queue_duration_seconds", "How long keys wait", queued)?;
    // A key is in work while it is reconciled, and no longer.
    let worked = plugins.iter().map(|(plugin, c)| (name(plugin), c.metrics().seconds.clone()));
    family(encoder, "workqueue_work_duration_seconds", "How long keys are in work", worked)
}

fn usage(encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
    let usage: Vec<_> = plugins.iter().map(|(name, c)| (name, c.usage())).collect();
    let cpu = usage.iter().map(|(name, u)| (of_plugin(name), ConstCounter::new(u.cpu_total().as_secs_f64())));
    let help = "Processor time of a plugin's calls, what the host does for them included";
    family(encoder, "wheelhouse_plugin_cpu_seconds", help, cpu)?;
    let memory = usage.iter().map(|(name, u)| (of_plugin(name), gauge(u.memory())));
    let help = "Linear memories and tables of a plugin's instances";
    family(encoder, "wheelhouse_plugin_memory_bytes", help, memory)?;
    let calls = usage.iter().map(|(name, u)| (of_plugin(name), ConstCounter::new(u.host_calls_total())));
    family(encoder, "wheelhouse_plugin_host_calls", "Calls of the host by a plugin", calls)
}

/// What has become of the Events that plugins recorded. Those over the limit are in its own metric.
fn events(encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
    let stats: Vec<_> = plugins.iter().map(|(name, c)| (name, c.client().stats().events)).collect();
    let results = stats.iter().flat_map(|(name, stats)| {
        [("sent", stats.sent), ("lost", stats.lost)].map(|(result, count)| {
            let mut labels = of_plugin(name);
            labels.push(("result", result.to_owned()));
            (labels, ConstCounter::new(count))
        })
    });
    let help = "Kubernetes Events, and counts of series, that were sent to the API server or lost";
    family(encoder, "wheelhouse_plugin_events", help, results)?;
    let waiting = stats.iter().map(|(name, stats)| (of_plugin(name), gauge(stats.waiting)));
    family(encoder, "wheelhouse_plugin_events_waiting", "Kubernetes Events that wait to be sent", waiting)
}

fn instances(encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
    let status: Vec<_> = plugins.iter().map(|(name, c)| (name, c.status())).collect();
    let alive = status.iter().map(|(name, s)| (of_plugin(name), gauge(s.instances as u64)));
    family(encoder, "wheelhouse_plugin_instances", "Instances alive", alive)?;
    let info = status.iter().map(|(name, s)| {
        let of_revision = vec![("version", s.version.clone()), ("digest", s.digest.clone())];
        (of_plugin(name), Info::new(of_revision))
    });
    family(encoder, "wheelhouse_plugin", "What runs", info)?;
    let revision = status.iter().map(|(name, s)| (of_plugin(name), gauge(s.revision)));
    family(encoder, "wheelhouse_plugin_revision", "Which revision runs; 1 for the first", revision)?;
    let traps = status.iter().map(|(name, s)| (of_plugin(name), gauge(s.traps)));
    family(
        encoder,
        "wheelhouse_plugin_revision_traps",
        "Traps and time-outs of the running revision",
        traps,
    )?;
    let series = plugins.iter().map(|(name, c)| (of_plugin(name), gauge(c.own_metrics().series() as u64)));
    family(encoder, "wheelhouse_plugin_metric_series", "Series of the plugin's own metrics", series)
}
