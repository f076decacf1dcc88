//! What the command line says of leases, and what follows from it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use wheelhouse_core::printable::printable;

use super::candidate::Held;
use super::elector::{JITTER, Timings};
use crate::cli::LeaseArgs;

/// Where Kubernetes tells a Pod its namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Seconds; a Lease's duration is a 32 bit number of them, and not zero.
const DURATION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// How a host stands for leases. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) per_plugin: bool,
    /// No other process has it.
    pub(crate) identity: String,
    pub(crate) timings: Timings,
    /// How many leases it holds.
    pub(crate) held: Held,
}

impl Settings {
    /// By the command line; none if it is off. `otherwise` is what counts if it does not say.
    ///
    /// # Errors
    /// If the times, or the names, make no sense.
    pub(crate) fn of(args: &LeaseArgs, otherwise: bool) -> anyhow::Result<Option<Self>> {
        if !args.leader_election.unwrap_or(otherwise) {
            return Ok(None);
        }
        let timings = Timings {
            lease_duration: args.lease_duration,
            renew_deadline: args.renew_deadline,
            retry_period: args.retry_period,
        };
        check(&timings)?;
        let namespace =
            args.lease_namespace.clone().or_else(own_namespace).unwrap_or_else(|| "default".to_owned());
        for (flag, name, label) in
            [("--lease-namespace", &namespace, true), ("--lease-name", &args.lease_name, false)]
        {
            if !is_subdomain(name) || (label && name.contains('.')) {
                bail!(
                    "{flag} {name:?}: a name of lower-case letters, digits, '-'{} is expected",
                    if label { "" } else { " and '.'" }
                );
            }
        }
        let identity = match &args.identity {
            Some(identity) if identity.trim().is_empty() => {
                bail!("--identity is empty: give each host another one, or leave it out")
            }
            Some(identity) => identity.clone(),
            None => format!("{}_{}", machine(), uuid::Uuid::new_v4().simple()),
        };
        Ok(Some(Self {
            namespace,
            name: args.lease_name.clone(),
            per_plugin: args.lease_per_plugin,
            identity,
            timings,
            held: Held::default(),
        }))
    }

    /// The lease of a plugin.
    pub(crate) fn lease_of(&self, plugin: &str) -> String {
        if self.per_plugin { format!("{}-{plugin}", self.name) } else { self.name.clone() }
    }

    /// How long a lease has to be free before this host takes it: the longer, the more it holds.
    pub(super) fn patience(&self) -> Duration {
        if !self.per_plugin {
            return Duration::ZERO;
        }
        let held = u32::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(u32::MAX).min(10);
        let step = self.timings.retry_period / 2;
        step * held + step.mul_f64(super::random())
    }
}

/// As client-go checks them.
fn check(timings: &Timings) -> anyhow::Result<()> {
    let Timings { lease_duration, renew_deadline, retry_period } = *timings;
    if !(DURATION.0..=DURATION.1).contains(&lease_duration) {
        bail!("--lease-duration {lease_duration:?}: from {:?} to {:?} is expected", DURATION.0, DURATION.1);
    }
    if lease_duration <= renew_deadline {
        bail!(
            "--lease-duration {lease_duration:?} must be longer than --renew-deadline {renew_deadline:?}: otherwise another host takes the lease while this one still works"
        );
    }
    if retry_period.is_zero() || renew_deadline <= retry_period.mul_f64(JITTER) {
        bail!(
            "--renew-deadline {renew_deadline:?} must be longer than {JITTER} times --retry-period {retry_period:?}, which must not be zero: otherwise there is no time to renew the lease"
        );
    }
    Ok(())
}

/// RFC 1123, in short: what names of Leases and namespaces are made of.
fn is_subdomain(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// Of the Pod that this runs in.
fn own_namespace() -> Option<String> {
    let of_account = || std::fs::read_to_string(NAMESPACE).ok();
    let namespace = std::env::var("POD_NAMESPACE").ok().or_else(of_account)?.trim().to_owned();
    (!namespace.is_empty()).then_some(namespace)
}

/// The Pod, or the machine.
fn machine() -> String {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("POD_NAME").ok().or_else(of_kernel).unwrap_or_default();
    let name = printable(name.trim(), 128);
    if name.is_empty() { "wheelhouse".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings(lease: f64, renew: f64, retry: f64) -> Timings {
        let [lease_duration, renew_deadline, retry_period] =
            [lease, renew, retry].map(Duration::from_secs_f64);
        Timings { lease_duration, renew_deadline, retry_period }
    }

    #[test]
    fn times_leave_room_for_a_renewal_and_for_work_to_stop() {
        for (lease, renew, retry) in [(15.0, 10.0, 2.0), (2.0, 1.3, 0.3), (1.0, 0.7, 0.1)] {
            assert!(check(&timings(lease, renew, retry)).is_ok());
        }
        for (lease, renew, retry, flag) in [
            (10.0, 10.0, 2.0, "--lease-duration"),
            (15.0, 2.4, 2.0, "--retry-period"),
            (15.0, 10.0, 0.0, "--retry-period"),
            (0.9, 0.5, 0.1, "--lease-duration"),
            (90_000.0, 10.0, 2.0, "--lease-duration"),
        ] {
            let error = check(&timings(lease, renew, retry)).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(["wheelhouse", "a.b-1"].into_iter().all(is_subdomain));
        assert!(!["", "a/b", "..", "A", "-a", "a%2fb", "a?b"].into_iter().any(is_subdomain));
    }
}
