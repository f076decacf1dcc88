//! Turns to compute, a few at a time, which go round between plugins.
//!
//! However many calls of a plugin compute, a call of another that asks for a turn has it after those that are
//! taken and one of each plugin that waits already. The calls of one plugin have its turns in the order in which
//! they asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use wheelhouse_core::usage::Usage;

/// See the module.
pub(crate) struct Turns {
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Plugins with calls that wait, the next first. There is none while a turn is free.
    ring: VecDeque<Waiting>,
}

/// The calls of one plugin that wait, the next first. Some may have given up.
struct Waiting {
    plugin: Plugin,
    calls: VecDeque<oneshot::Sender<Turn>>,
}

/// By its usage, which all its revisions share.
#[derive(Clone)]
struct Plugin(Arc<Usage>);

impl PartialEq for Plugin {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The right to compute, until it is dropped; then it goes on to who waits.
pub(crate) struct Turn {
    plugin: Plugin,
    /// Always there but while it is dropped.
    turns: Option<Arc<Turns>>,
}

impl Turns {
    /// So many at a time, and one at least.
    pub(crate) fn new(free: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free: free.max(1), ring: VecDeque::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, for a call of the plugin with this usage. It has asked from the first poll on, and
    /// dropped, it has not.
    pub(crate) async fn acquire(self: &Arc<Self>, usage: &Arc<Usage>) -> Turn {
        let plugin = Plugin(Arc::clone(usage));
        let asked = self.lock().ask(&plugin);
        match asked {
            Some(waiting) => match waiting.await {
                Ok(turn) => turn,
                // Whoever asks is either handed a turn or still waits.
                Err(_) => std::future::pending().await,
            },
            None => Turn { plugin, turns: Some(Arc::clone(self)) },
        }
    }

    /// A turn has ended, of this plugin.
    fn pass_on(mut self: Arc<Self>, from: &Plugin) {
        loop {
            let mut state = self.lock();
            let Some((plugin, call)) = state.next(from) else {
                state.free += 1;
                return;
            };
            drop(state);
            let Err(mut turn) = call.send(Turn { plugin, turns: Some(self) }) else { return };
            // Who waited there has given up.
            let Some(turns) = turn.turns.take() else { return };
            self = turns;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.pass_on(&self.plugin);
        }
    }
}

impl State {
    /// Takes a turn that is free; if there is none, where one will come.
    fn ask(&mut self, plugin: &Plugin) -> Option<oneshot::Receiver<Turn>> {
        if self.free > 0 {
            self.free -= 1;
            return None;
        }
        let (call, turn) = oneshot::channel();
        match self.ring.iter_mut().find(|waiting| waiting.plugin == *plugin) {
            Some(waiting) => {
                // However long nobody gets a turn, no more are kept than wait.
                waiting.calls.retain(|call| !call.is_closed());
                waiting.calls.push_back(call);
            }
            None => {
                self.ring.push_back(Waiting { plugin: plugin.clone(), calls: VecDeque::from([call]) });
            }
        }
        Some(turn)
    }

    /// Who is next, after a turn of this plugin. It is not that plugin if another waits, which may have come
    /// to the end of the ring only since its own last turn ended.
    fn next(&mut self, after: &Plugin) -> Option<(Plugin, oneshot::Sender<Turn>)> {
        let other = self.ring.iter().position(|waiting| waiting.plugin != *after).unwrap_or(0);
        let mut waiting = self.ring.remove(other)?;
        let call = waiting.calls.pop_front()?;
        let plugin = waiting.plugin.clone();
        if !waiting.calls.is_empty() {
            self.ring.push_back(waiting);
        }
        Some((plugin, call))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use wheelhouse_core::limits::Limits;

    use super::*;

    /// A call of a plugin, which asks for turns.
    struct Call {
        name: String,
        usage: Arc<Usage>,
        asking: Pin<Box<dyn Future<Output = Turn>>>,
    }

    impl Call {
        fn new(name: String, usage: &Arc<Usage>, turns: &Arc<Turns>) -> Self {
            Self { name, usage: Arc::clone(usage), asking: asking(usage, turns) }
        }

        fn turn(&mut self) -> Option<Turn> {
            match self.asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            }
        }

        fn ask_again(&mut self, turns: &Arc<Turns>) {
            self.asking = asking(&self.usage, turns);
            assert!(self.turn().is_none(), "{} need not wait", self.name);
        }
    }

    fn asking(usage: &Arc<Usage>, turns: &Arc<Turns>) -> Pin<Box<dyn Future<Output = Turn>>> {
        let (usage, turns) = (Arc::clone(usage), Arc::clone(turns));
        Box::pin(async move { turns.acquire(&usage).await })
    }

    /// So many calls of one plugin, which wait.
    fn waiting(plugin: &str, count: usize, turns: &Arc<Turns>) -> Vec<Call> {
        let usage = Arc::new(Usage::new(&Limits::default()));
        let mut calls: Vec<Call> =
            (0..count).map(|i| Call::new(format!("{plugin}{i}"), &usage, turns)).collect();
        for call in &mut calls {
            assert!(call.turn().is_none(), "{} need not wait", call.name);
        }
        calls
    }

    /// The turn of a call that nobody else knows of.
    fn taken(turns: &Arc<Turns>) -> Turn {
        let usage = Arc::new(Usage::new(&Limits::default()));
        Call::new("first".to_owned(), &usage, turns).turn().expect("a turn is free")
    }

    /// Who has the turn, this one and those that come of it. As calls do, who has had it asks for another once
    /// it has ended.
    fn rounds(mut turn: Turn, calls: &mut [Call], turns: &Arc<Turns>, count: usize) -> Vec<String> {
        let mut had: Vec<usize> = Vec::new();
        while had.len() < count {
            drop(turn);
            if let Some(last) = had.last() {
                calls[*last].ask_again(turns);
            }
            let next = calls.iter_mut().enumerate().find_map(|(i, call)| Some((i, call.turn()?)));
            let (i, next) = next.expect("somebody has the turn");
            had.push(i);
            turn = next;
        }
        had.into_iter().map(|i| calls[i].name.clone()).collect()
    }

    #[test]
    fn hostile_many_calls_of_one_plugin_have_no_more_turns_than_the_one_of_another() {
        let turns = Turns::new(1);
        let first = taken(&turns);
        let mut calls = waiting("many", 16, &turns);
        calls.extend(waiting("one", 1, &turns));
        let had = rounds(first, &mut calls, &turns, 6);
        assert_eq!(had, ["many0", "one0", "many1", "one0", "many2", "one0"]);
    }

    #[test]
    fn turns_go_round_between_plugins_and_in_order_within_one() {
        let turns = Turns::new(1);
        let first = taken(&turns);
        let mut calls = waiting("a", 3, &turns);
        calls.extend(waiting("b", 2, &turns));
        calls.extend(waiting("c", 1, &turns));
        let had = rounds(first, &mut calls, &turns, 9);
        assert_eq!(had, ["a0", "b0", "c0", "a1", "b1", "a2", "c0", "b0", "a0"]);
    }

    #[test]
    fn a_plugin_that_is_alone_has_all_turns() {
        let turns = Turns::new(2);
        let (first, second) = (taken(&turns), taken(&turns));
        let mut calls = waiting("a", 3, &turns);
        drop(first);
        let of_first = calls[0].turn().unwrap();
        drop(second);
        let of_second = calls[1].turn().unwrap();
        assert!(calls[2].turn().is_none());
        drop(of_second);
        let third = calls[2].turn().unwrap();
        // Nobody waits: those that end are free.
        drop((of_first, third));
        let _both = (taken(&turns), taken(&turns));
    }

    #[test]
    fn a_call_that_gives_up_takes_no_turn_with_it() {
        let turns = Turns::new(1);
        let first = taken(&turns);
        let mut calls = waiting("a", 4, &turns);
        // Before its turn has come, and after that and before it has noticed.
        drop(calls.remove(0));
        drop(calls.remove(0));
        drop(first);
        drop(calls.remove(0));
        let last = calls[0].turn().expect("the turn has come to who still waits");
        drop(last);
        drop(taken(&turns));
    }

    #[test]
    fn calls_that_give_up_one_after_another_are_not_kept() {
        let turns = Turns::new(1);
        let _first = taken(&turns);
        let usage = Arc::new(Usage::new(&Limits::default()));
        for _ in 0..100 {
            assert!(Call::new(String::new(), &usage, &turns).turn().is_none());
        }
        assert_eq!(turns.lock().ring.iter().map(|waiting| waiting.calls.len()).sum::<usize>(), 1);
    }
}
