//! The command line.

mod asking;

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::asking::{AskArgs, OrderArgs, PluginsArgs, RevisionsArgs, RollbackArgs};

/// A host for Kubernetes controllers that are WebAssembly plugins: it watches the cluster once, keeps an
/// indexed cache, and runs many reconcilers, each in a sandbox, loaded and replaced while it runs.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run plugins against a cluster.
    ///
    /// The cluster is the one that kubectl would use: $KUBECONFIG, ~/.kube/config, or the service
    /// account of the Pod that this runs in.
    #[command(after_help = "Example:\n  wheelhouse run --plugin-dir ./plugins --grants ./grants")]
    Run(RunArgs),
    /// Run plugins against an embedded API server, for development.
    ///
    /// The server is on 127.0.0.1, keeps everything in memory, and ends with this command.
    #[command(
        after_help = "Example:\n  wheelhouse dev --plugin-dir ./plugins --kubeconfig-out dev.kubeconfig\n  kubectl --kubeconfig dev.kubeconfig get nodes"
    )]
    Dev(DevArgs),
    /// Run the embedded API server alone.
    #[command(
        after_help = "Example:\n  wheelhouse devcluster --port 6443 --kubeconfig-out dev.kubeconfig\n  kubectl --kubeconfig dev.kubeconfig get namespaces"
    )]
    Devcluster(DevclusterArgs),
    /// Show what a plugin is and needs, without running it against anything.
    #[command(
        after_help = "Examples:\n  wheelhouse inspect plugins/webapp.wasm -o json\n  wheelhouse inspect plugins/webapp.wasm --grant > grants/webapp.yaml"
    )]
    Inspect(InspectArgs),
    /// Show the configuration that `run` or `dev` would have, and where each value comes from.
    ///
    /// A flag counts before the environment, that before the file of --config, and that before the default.
    #[command(
        after_help = "Examples:\n  wheelhouse config run --config wheelhouse.yaml\n  wheelhouse config dev --explain > wheelhouse.yaml"
    )]
    Config(ConfigArgs),
    /// Print the CustomResourceDefinitions of Plugin and ClusterPlugin, for a cluster that is to have them.
    #[command(after_help = "Example:\n  wheelhouse crds | kubectl apply --server-side -f -")]
    Crds,
    /// List the plugins of a running host.
    #[command(after_help = "Example:\n  wheelhouse plugins -o json")]
    Plugins(PluginsArgs),
    /// List the revisions of a plugin of a running host: the one that runs, and those to roll back to.
    #[command(after_help = "Example:\n  wheelhouse revisions webapp")]
    Revisions(RevisionsArgs),
    /// Have a plugin of a running host run a former revision again.
    ///
    /// What it is rolled back from is not tried again until its component or its configuration changes.
    #[command(after_help = "Examples:\n  wheelhouse rollback webapp\n  wheelhouse rollback webapp 3")]
    Rollback(RollbackArgs),
    /// Have a plugin of a running host begin no reconcile until it is resumed.
    ///
    /// What runs may end; its caches stay filled, and new revisions of it are still loaded.
    #[command(after_help = "Example:\n  wheelhouse pause webapp")]
    Pause(OrderArgs),
    /// Have a paused plugin of a running host go on: every object is requested.
    #[command(after_help = "Example:\n  wheelhouse resume webapp")]
    Resume(OrderArgs),
    /// Push a plugin to a registry.
    ///
    /// It is pushed as the CNCF's Wasm artifact, which wkg reads, too. The same component always makes the same
    /// artifact. Credentials are those of `docker login`. A registry on this machine is spoken to by HTTP.
    #[command(
        after_help = "Examples:\n  wheelhouse push ghcr.io/example/hello:1.0 target/plugins/hello.wasm\n  wheelhouse push localhost:5000/hello:dev plugins/hello.wasm --format json"
    )]
    Push(PushArgs),
    /// Fetch a component from a registry, or from an https:// URL.
    ///
    /// It is checked against its digest. Credentials are those of `docker login`.
    #[command(
        after_help = "Examples:\n  wheelhouse pull ghcr.io/example/hello:1.0\n  wheelhouse pull ghcr.io/example/hello@sha256:… -o plugins/hello.wasm --force\n  wheelhouse pull https://example.com/hello.wasm -o - | wasm-tools component wit"
    )]
    Pull(PullArgs),
    /// Compile one component from the standard input: the host starts this for itself.
    #[command(name = "__compile", hide = true)]
    Compile {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        order: Vec<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// A YAML file with values for flags that are not given: each key is a flag's name in lowerCamelCase,
    /// such as `pluginDir`. `wheelhouse config run` prints one.
    #[arg(long, value_name = "FILE", env = "WHEELHOUSE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the plugins: every *.wasm in it is loaded; one that is added, changed or removed
    /// is loaded, replaced or stopped while the host runs. NAME.json beside NAME.wasm is its configuration.
    #[arg(long, value_name = "DIR", env = "WHEELHOUSE_PLUGIN_DIR")]
    pub(crate) plugin_dir: Option<PathBuf>,
    /// Whether the cluster's Plugin and ClusterPlugin resources are run as well. `wheelhouse crds` prints their
    /// definitions, which `dev` installs by itself.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "WHEELHOUSE_PLUGIN_RESOURCES")]
    pub(crate) plugin_resources: bool,
    /// Between two looks at a registry or a web server for resources that follow a tag or a URL.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, env = "WHEELHOUSE_PULL_INTERVAL")]
    pub(crate) pull_interval: Duration,
    /// Where /healthz, /readyz, /metrics and /plugins are served. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9440", env = "WHEELHOUSE_ADMIN_ADDR")]
    pub(crate) admin_addr: SocketAddr,
    /// What each plugin is granted: a YAML file, or a folder of *.yaml, which may change while the host
    /// runs. `wheelhouse inspect FILE --grant` prints one that would do. Without it, `run` grants nothing,
    /// and `dev` what plugins declare, but for Secrets and other kinds that lead to everything else.
    #[arg(long, value_name = "PATH", env = "WHEELHOUSE_GRANTS")]
    pub(crate) grants: Option<PathBuf>,
    /// How long running reconciles may take to end when a plugin is replaced or the host stops.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, env = "WHEELHOUSE_GRACE")]
    pub(crate) grace: Duration,
    /// How long a new revision of a plugin is on probation: if more of its reconciles fail or trap than of the
    /// revision's before, or none ends well, that one takes over again. 0 for never.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, env = "WHEELHOUSE_PROBATION")]
    pub(crate) probation: Duration,
    /// How many revisions of a plugin are kept to roll back to.
    #[arg(long, value_name = "NUMBER", default_value = "3", env = "WHEELHOUSE_REVISION_HISTORY_LIMIT")]
    pub(crate) revision_history_limit: usize,
    /// How long the first list of what a plugin watches may take before the plugin is said to wait for it.
    #[arg(long, hide = true, value_name = "SECONDS", default_value = "60", value_parser = seconds, env = "WHEELHOUSE_SYNC_TIMEOUT")]
    pub(crate) sync_timeout: Duration,
    /// The stack of one call of a plugin, 64Ki to 16Mi: one that needs more has a trap that names the limit
    /// `stack`.
    #[arg(long, value_name = "BYTES", default_value = "1Mi", value_parser = stack, env = "WHEELHOUSE_STACK")]
    pub(crate) stack: usize,
    /// Where traces go, by OpenTelemetry's protocol over HTTP: a collector's URL, such as
    /// http://127.0.0.1:4318. If not given, $OTEL_EXPORTER_OTLP_ENDPOINT; without either there are none.
    #[arg(long, value_name = "URL", env = "WHEELHOUSE_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
    #[command(flatten)]
    pub(crate) compile: CompileArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LeaseArgs {
    /// Work only while holding a Lease, so that of several hosts one works and the others stand by. On for
    /// `run` and off for `dev` if not given.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "WHEELHOUSE_LEADER_ELECTION")]
    pub(crate) leader_election: Option<bool>,
    /// The Lease's namespace; $POD_NAMESPACE, the service account's, or `default` if not given.
    #[arg(long, value_name = "NAME", env = "WHEELHOUSE_LEASE_NAMESPACE")]
    pub(crate) lease_namespace: Option<String>,
    /// The Lease's name.
    #[arg(long, value_name = "NAME", default_value = "wheelhouse", env = "WHEELHOUSE_LEASE_NAME")]
    pub(crate) lease_name: String,
    /// One Lease for each plugin, named NAME-PLUGIN, so that several hosts share the plugins between them.
    #[arg(long, env = "WHEELHOUSE_LEASE_PER_PLUGIN", value_parser = BoolishValueParser::new())]
    pub(crate) lease_per_plugin: bool,
    /// What this host calls itself in a Lease: no other process may have the same. $POD_NAME, or the name of
    /// the machine, with something random if not given.
    #[arg(long, value_name = "TEXT", env = "WHEELHOUSE_IDENTITY")]
    pub(crate) identity: Option<String>,
    /// How long after the holder's last renewal another host takes the Lease.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds, env = "WHEELHOUSE_LEASE_DURATION")]
    pub(crate) lease_duration: Duration,
    /// How long the holder works on without a renewal; then it stops and stands by.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, env = "WHEELHOUSE_RENEW_DEADLINE")]
    pub(crate) renew_deadline: Duration,
    /// Between two renewals, or two looks at a Lease that another host holds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds, env = "WHEELHOUSE_RETRY_PERIOD")]
    pub(crate) retry_period: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// Where compiled plugins, and components from registries, are kept for the next start: a folder of this
    /// user's alone, which is made if there is none. $XDG_CACHE_HOME/wheelhouse or ~/.cache/wheelhouse if not given.
    #[arg(long, value_name = "DIR", env = "WHEELHOUSE_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// How much is kept there; what was not used for the longest time goes.
    #[arg(long, value_name = "BYTES", default_value = "2Gi", value_parser = bytes, env = "WHEELHOUSE_CACHE_SIZE")]
    pub(crate) cache_size: u64,
    /// How long compiling one plugin may take.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, env = "WHEELHOUSE_COMPILE_TIMEOUT")]
    pub(crate) compile_timeout: Duration,
    /// How much memory compiling one plugin may take.
    #[arg(long, value_name = "BYTES", default_value = "2Gi", value_parser = bytes, env = "WHEELHOUSE_COMPILE_MEMORY")]
    pub(crate) compile_memory: u64,
    /// How many plugins are compiled at once; half of the processors if not given.
    #[arg(long, value_name = "NUMBER", env = "WHEELHOUSE_COMPILE_JOBS")]
    pub(crate) compile_jobs: Option<NonZero<usize>>,
}

#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// How log lines look.
    #[arg(long, value_enum, default_value = "text", env = "WHEELHOUSE_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Which log lines are kept: a level, or directives such as `info,plugin=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "WHEELHOUSE_LOG")]
    pub(crate) log: String,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,
    /// The kubeconfig's context; its current one if not given.
    #[arg(long, value_name = "NAME", env = "WHEELHOUSE_CONTEXT")]
    pub(crate) context: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The API server's port on 127.0.0.1; 0 picks a free one.
    #[arg(long, value_name = "PORT", default_value = "0", env = "WHEELHOUSE_PORT")]
    pub(crate) port: u16,
    /// Write a kubeconfig for the server to this file.
    #[arg(long, value_name = "FILE", env = "WHEELHOUSE_KUBECONFIG_OUT")]
    pub(crate) kubeconfig_out: Option<PathBuf>,
    /// Keep the objects in this folder from one start to the next, rather than in memory alone. A write is
    /// answered once it is on the disk.
    #[arg(long, value_name = "DIR", env = "WHEELHOUSE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Have workloads look alive: Deployments, StatefulSets, DaemonSets and Jobs get Pods that become ready on a node
    /// called dev, though no container runs. Otherwise nothing acts on them.
    #[arg(long, env = "WHEELHOUSE_WORKLOADS", value_parser = BoolishValueParser::new())]
    pub(crate) workloads: bool,
    /// Who may do what on the server. With tls or rbac, the kubeconfig has an administrator's token; further users
    /// come from `kubectl create token` and `kubectl --as`.
    #[arg(long, value_enum, default_value = "open", env = "WHEELHOUSE_ACCESS")]
    pub(crate) access: ServerAccess,
    /// Serve /faults, where failures can be had on demand.
    #[arg(long, hide = true, env = "WHEELHOUSE_FAULTS", value_parser = BoolishValueParser::new())]
    pub(crate) faults: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerAccess {
    /// Plain HTTP; everybody on this machine may do everything.
    Open,
    /// TLS; whoever has a token may do everything.
    Tls,
    /// TLS; roles and bindings decide.
    Rbac,
}

#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DevclusterArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The component.
    pub(crate) file: PathBuf,
    /// The configuration to describe it with, a JSON file; NAME.json beside it, or `{}`, if not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Print a grant that would satisfy the plugin instead: to read, to cut down, and to hand to `run`.
    #[arg(long, conflicts_with = "output")]
    pub(crate) grant: bool,
    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct PushArgs {
    /// Where to: registry/repository:tag. The tag is `latest` if there is none.
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
    /// The component.
    pub(crate) file: PathBuf,
    /// How to print what was pushed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Output,
}

#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// Where from: registry/repository:tag, registry/repository@sha256:…, or an https:// URL.
    #[arg(value_name = "LOCATION")]
    pub(crate) location: String,
    /// The file, or a folder for it; `-` is the standard output. The last part of the repository's name with
    /// `.wasm` after it, in this folder, if not given.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// How to print what was fetched.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Output,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// Of `run`, if not given.
    #[command(subcommand)]
    pub(crate) of: Option<Configured>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "yaml", global = true)]
    pub(crate) output: ConfigOutput,
    /// Say of each key what it is for; for YAML.
    #[arg(long, global = true)]
    pub(crate) explain: bool,
}

/// Whose configuration it is: it has the same flags.
#[derive(Subcommand, Debug)]
pub(crate) enum Configured {
    /// Of `wheelhouse run` with these flags.
    Run(RunArgs),
    /// Of `wheelhouse dev` with these flags.
    Dev(DevArgs),
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigOutput {
    /// A file for --config.
    Yaml,
    /// For programs: of each key its value and where that comes from.
    Json,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0 to 86400 is expected".to_owned()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let bytes = wheelhouse_core::parse_bytes(text).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| "bytes are expected: 2Gi, 512Mi, or a number".to_owned())
}

fn stack(text: &str) -> Result<usize, String> {
    let bytes = wheelhouse_core::parse_bytes(text).filter(|bytes| (64 << 10..=16 << 20).contains(bytes));
    bytes.ok_or_else(|| "from 64Ki to 16Mi are expected".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
