//! What happens to each new state of an object before it is stored: it is pruned, filled in and judged. Its managers are
//! recorded once its defaults are there, and before the server itself adds to it.
//!
//! All that is wrong with it is told at once, metadata first; the rules of the built-in kinds come last, since they count
//! on the rest.

mod pod;
mod priority_class;

use std::sync::MutexGuard;

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{self, Json};
use crate::schema::Covers;
use crate::write::{Managers, Write};
use crate::{access, constraints, crd, defaults, managed, owners, scale, strategy, validate};
pub(crate) use priority_class::{POLICY, prepare};

impl Write {
    /// Definitions are judged by the names that others have, and Services by their addresses and ports, and so are judged and stored
    /// one at a time.
    pub(crate) fn turn<'a>(&self, cluster: &'a Cluster) -> Option<MutexGuard<'a, ()>> {
        match self.kind.is("", "services") {
            true => Some(cluster.services()),
            false => crd::is_definition(&self.kind).then(|| cluster.definitions()),
        }
    }

    /// Prunes, fills in defaults, validates and allocates; returns warnings.
    pub(crate) fn admit(
        &self,
        cluster: &Cluster,
        json: &mut Json,
        old: Option<&Json>,
        managers: Managers,
    ) -> Result<Vec<String>, ApiError> {
        let (state, place) = (&cluster.access, (&*self.kind, &self.key));
        access::check_write(state, &cluster.store, self.author.as_deref(), place, json, old)?;
        let mut warnings: Vec<String> = owners::deduplicate(json, owners::CHANGED).into_iter().collect();
        if self.kind.is_custom() {
            warnings.extend(validate::finalizer_warnings(json, old));
        }
        let schema = self.kind.schema();
        if let Some(schema) = schema {
            let mut unknown = self.strict_errors();
            schema.prune(json, &mut unknown);
            warnings.append(&mut self.judge_unknown(unknown)?);
            schema.default(json);
        } else if !self.kind.is_custom() {
            defaults::fill(&self.kind, json);
            if self.kind.is("apps", "daemonsets") {
                defaults::template_generation(json, old);
            }
        }
        let is_definition = crd::is_definition(&self.kind);
        if is_definition {
            crd::default(json);
        }
        object::drop_empty_metadata(json);
        if managers == Managers::Record {
            managed::record(&self.kind, old, json, &self.writer);
        }
        if !self.kind.is_custom() {
            strategy::prepare(&self.kind, json, old, self.author.as_deref());
            match (self.kind.group.as_str(), self.kind.kind.as_str()) {
                ("", "Pod") => pod::admit(cluster, self, json, old)?,
                ("scheduling.k8s.io", "PriorityClass") => {
                    priority_class::check(&cluster.store, &self.kind, json)?;
                }
                _ => {}
            }
        }
        let mut causes = validate::metadata(&self.kind, json, old.is_none());
        if let Some(schema) = schema {
            let covers = if self.writer.subresource == "status" { Covers::Status } else { Covers::Object };
            let mut found = schema.validate(json, old, covers, causes);
            warnings.append(&mut found.warnings);
            causes = found.causes;
            causes.extend(scale::problems(&self.kind, json, covers));
        }
        if is_definition {
            causes.extend(crd::validate(json, old));
            warnings.extend(crd::warnings(json, old));
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid(&self.kind, object::name(json), &causes).warned(warnings));
        }
        if is_definition {
            crd::set_status(json, &cluster.store.list_all(crd::STORAGE));
        }
        constraints::validate(&self.kind, json, old)?;
        strategy::allocate(&cluster.store, &self.kind, json, old, self.dry_run)?;
        Ok(warnings)
    }
}
