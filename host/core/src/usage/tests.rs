use std::sync::mpsc;

use super::*;

#[test]
fn what_goes_over_a_rate_is_an_error_with_its_name_and_counted() {
    let usage = Usage::new(&Limits {
        api_requests_per_second: 1,
        api_requests_burst: 2,
        events_per_minute: 1,
        log_lines_per_second: 2,
        log_bytes_per_second: 10,
        ..Limits::default()
    });
    assert!(usage.api_request().is_ok() && usage.api_request().is_ok() && usage.event().is_ok());
    let error = usage.api_request().unwrap_err().to_string();
    assert!(error.starts_with("limit apiRequestsPerSecond: too many requests"), "{error}");
    assert!(matches!(usage.event(), Err(ApiError::LimitExceeded { limit: Limit::EventsPerMinute, .. })));
    assert_eq!(usage.log_line(8), Ok(()));
    assert_eq!(usage.log_line(8), Err(Limit::LogBytesPerSecond));
    assert_eq!(usage.log_line(1), Err(Limit::LogLinesPerSecond));
    let hit: Vec<(Limit, u64)> = usage.breaches().filter(|(_, count)| *count > 0).collect();
    let expected = [
        Limit::ApiRequestsPerSecond,
        Limit::EventsPerMinute,
        Limit::LogLinesPerSecond,
        Limit::LogBytesPerSecond,
    ];
    assert_eq!(hit, expected.map(|limit| (limit, 1)));
}

#[test]
fn one_call_of_a_plugin_computes_on_a_prompt_thread_at_a_time() {
    let usage = Usage::new(&Limits::default());
    let place = usage.prompt_place().unwrap();
    assert!(usage.prompt_place().is_none());
    drop(place);
    assert!(usage.prompt_place().is_some());
}

#[test]
fn processor_time_over_its_share_is_a_pause() {
    let limits = Limits {
        cpu_per_second: Duration::from_millis(100),
        prompt_cpu_per_second: Duration::from_millis(30),
        ..Limits::default()
    };
    let usage = Usage::new(&limits);
    assert_eq!(
        usage.cpu(Duration::from_micros(100)),
        CpuShare { pause: Duration::ZERO, greedy: false, trusted: false }
    );
    assert_eq!(
        usage.cpu(Duration::from_micros(99_900)),
        CpuShare { pause: Duration::ZERO, greedy: true, trusted: false }
    );
    let CpuShare { pause, .. } = usage.cpu(Duration::from_millis(50));
    assert!(pause > Duration::from_millis(400) && pause <= Duration::from_millis(500), "{pause:?}");
    assert_eq!(usage.cpu_total(), Duration::from_millis(150));
    let limits = Limits { prompt_cpu_per_second: limits.cpu_per_second, ..limits };
    let trusted = Usage::new(&limits).cpu(Duration::from_millis(99));
    assert_eq!(trusted, CpuShare { pause: Duration::ZERO, greedy: false, trusted: true });
}

/// What a thread does that the kernel keeps from running in the middle of it.
fn with_the_account_in_somebodys_hands<T: Send>(usage: &Usage, act: impl FnOnce() -> T + Send) -> T {
    let held = locked(&usage.processor);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        scope.spawn(move || send.send(act()));
        let acted = receive.recv_timeout(Duration::from_secs(20));
        drop(held);
        acted.expect("it waits for the account")
    })
}

#[test]
fn hostile_nobody_waits_for_a_thread_that_has_the_account() {
    let limits = Limits {
        cpu_per_second: Duration::from_millis(100),
        prompt_cpu_per_second: Duration::from_millis(30),
        ..Limits::default()
    };
    let usage = Usage::new(&limits);
    usage.cpu(Duration::from_secs(10));
    let CpuShare { pause, .. } = with_the_account_in_somebodys_hands(&usage, || usage.cpu_share());
    assert!(pause > Duration::from_secs(60), "what is known already is told: {pause:?}");
    with_the_account_in_somebodys_hands(&usage, || usage.cpu(Duration::from_secs(20)));
    let CpuShare { pause, .. } = usage.cpu_share();
    assert!(pause > Duration::from_secs(250), "and what was used meanwhile is not lost: {pause:?}");
    assert_eq!(usage.cpu_total(), Duration::from_secs(30));
}

#[test]
fn of_what_many_threads_use_at_once_nothing_is_lost() {
    let usage = Usage::new(&Limits { cpu_per_second: Duration::from_secs(1), ..Limits::default() });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    usage.cpu(Duration::from_millis(1));
                }
            });
        }
    });
    let CpuShare { pause, .. } = usage.cpu_share();
    assert!(pause + begun.elapsed() >= Duration::from_secs(7), "{pause:?}");
    assert!(pause <= Duration::from_secs(7), "{pause:?}");
}
