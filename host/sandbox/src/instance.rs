//! One sandbox: a store with one instance in it.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};
use wheelhouse_core::limits::Limit;

use crate::bindings::Plugin;
use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::compiled::Compiled;
use crate::error::CallError;
use crate::host::InstanceState;

/// After an error the guest's memory may be in any state: the instance must be dropped.
pub(crate) struct Instance {
    store: Store<InstanceState>,
    plugin: Plugin,
    /// Calls that it has served.
    pub(crate) calls: u32,
    /// Held while it exists, by which its revision counts.
    pub(crate) alive: Option<Arc<()>>,
}

impl Instance {
    pub(crate) async fn new(compiled: &Compiled, state: InstanceState) -> Result<Self, CallError> {
        let mut store = Store::new(compiled.sandbox().engine(), state);
        store.limiter(|state| &mut state.meter);
        let limits = store.data().limits();
        let (fuel, handles) = (limits.hostcall_bytes, limits.handles as usize);
        store.set_hostcall_fuel(fuel);
        store.set_max_component_handles(handles);
        // At every tick the guest yields to the runtime, which then sees to deadlines and neighbours.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            store.data().check_calls()?;
            Ok(UpdateDeadline::Yield(1))
        });
        let plugin = compiled.pre().instantiate_async(&mut store).await;
        let plugin = plugin.map_err(|error| failed(&store, &error))?;
        Ok(Self { store, plugin, calls: 0, alive: None })
    }

    pub(crate) fn state(&mut self) -> &mut InstanceState {
        self.store.data_mut()
    }

    /// Bytes of linear memory that it has now.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().meter.memory()
    }

    pub(crate) async fn describe(
        &mut self,
        config: &str,
    ) -> Result<Result<wit::Spec, wit::ConfigError>, CallError> {
        let called =
            self.plugin.wheelhouse_controller_reconciler().call_describe(&mut self.store, config).await;
        called.map_err(|error| failed(&self.store, &error))
    }

    pub(crate) async fn reconcile(&mut self, request: &wit::Request) -> Result<wit::Outcome, CallError> {
        let called =
            self.plugin.wheelhouse_controller_reconciler().call_reconcile(&mut self.store, request).await;
        called.map_err(|error| failed(&self.store, &error))
    }

    pub(crate) async fn map(
        &mut self,
        watch: &str,
        event: &wit::Event,
    ) -> Result<Vec<wit::ObjectKey>, CallError> {
        let called =
            self.plugin.wheelhouse_controller_reconciler().call_map(&mut self.store, watch, event).await;
        called.map_err(|error| failed(&self.store, &error))
    }

    pub(crate) async fn index(&mut self, name: &str, object: &Vec<u8>) -> Result<Vec<String>, CallError> {
        let called =
            self.plugin.wheelhouse_controller_reconciler().call_index(&mut self.store, name, object).await;
        called.map_err(|error| failed(&self.store, &error))
    }
}

/// That the host has no room for another is counted here: it is no fault of the call, and no trap.
fn failed(store: &Store<InstanceState>, error: &wasmtime::Error) -> CallError {
    let error = CallError::from_wasmtime(error);
    if let CallError::Instance(_) = error {
        store.data().usage.breach(Limit::Instances);
    }
    error
}
