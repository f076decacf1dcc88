//! The queue as its users see it. One binary, since each costs a link.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod model;
#[cfg(test)]
mod since;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod support;
#[cfg(test)]
mod traps;
#[cfg(test)]
mod waking;
