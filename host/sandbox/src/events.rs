//! The import `events`: what a plugin says of an object. Each Event takes the right to get the object,
//! and to create and to patch Events where it goes, and counts against `eventsPerMinute`.

use wheelhouse_core::event::{EventText, EventType, NewEvent, RecordEvent};
use wheelhouse_core::request::{Consistency, Get};
use wheelhouse_core::{ApiError, Permitted};

use crate::bindings::wheelhouse::controller::{events, types};
use crate::convert;
use crate::host::{Authority, InstanceState};

impl InstanceState {
    fn subject(&self, subject: events::ObjectRef) -> Result<Permitted<Get>, ApiError> {
        let kind = self.kind(&subject.kind)?;
        let (key, consistency) = (convert::possible_key(&kind, subject.key)?, Consistency::OwnWrites);
        self.gate.permit(Get { kind, key, subresource: String::new(), consistency })
    }

    fn event(
        &self,
        regarding: events::ObjectRef,
        related: Option<events::ObjectRef>,
        text: Result<EventText, ApiError>,
    ) -> Result<Permitted<RecordEvent>, ApiError> {
        let regarding = self.subject(regarding)?;
        let related = related.map(|related| self.subject(related)).transpose()?;
        let event = self.gate.permit(NewEvent::new(regarding, related, text?))?;
        let event = self.gate.permit(RecordEvent::new(event))?;
        // What is refused for another reason does not count.
        self.usage.event()?;
        Ok(event)
    }
}

impl events::Host for InstanceState {
    async fn record(
        &mut self,
        regarding: events::ObjectRef,
        event_type: events::EventType,
        reason: String,
        action: String,
        note: String,
        related: Option<events::ObjectRef>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let cluster = self.cluster(Authority::Full)?;
        let event_type = match event_type {
            events::EventType::Normal => EventType::Normal,
            events::EventType::Warning => EventType::Warning,
        };
        let bytes = reason.len() + action.len() + note.len();
        let text = self
            .argument("the Event", bytes)
            .and_then(|()| EventText::new(event_type, &reason, &action, &note));
        Ok(match self.event(regarding, related, text) {
            Ok(event) => cluster.record(event).await.map_err(convert::error),
            Err(error) => Err(convert::error(error)),
        })
    }
}
