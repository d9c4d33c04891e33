//! `telemetry status --json`.

use serde_json::{Map, Value, json};

use super::Status;
use crate::consent::Reason;
use crate::spool::outcome::Outcome;

impl Status {
    /// The status as one JSON object on one line. Later versions may add keys; if a key changes its meaning, `format`
    /// changes. Times are whole seconds since the Unix epoch.
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `format` | 1 |
    /// | `tool` | the tool's name |
    /// | `telemetry` | `on` or `off` |
    /// | `reason` | why: `build`, `variable`, `policy`, `policy_unreadable`, `person`, `choice_unreadable`, `opt_in`, `default`, `notice_not_shown`, `no_destination`, `bad_destination`, `ci`, `no_home`, `uploader`, `set_up`; later versions may add others |
    /// | `reason_text` | the reason as a text |
    /// | `variable` | the variable that decides, or null |
    /// | `policy_file`, `choice_file` | paths that may not exist; `choice_file` is null without a home directory |
    /// | `published_at` | the address of the published aggregates, or null |
    /// | `destination` | null, or `origin` and `chosen_by` (`maker` or `operator`) |
    /// | `warnings` | texts |
    /// | `destinations` | one object for each destination that ever had a run |
    ///
    /// A destination has these keys:
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `name` | the name of its directory: who chose it, the publisher, and scheme, host, and port |
    /// | `pending`, `delivered` | runs |
    /// | `being_written` | pending runs that live processes write |
    /// | `dropped` | runs by reason. Each key is always present: `refused`, `limit_bytes`, `limit_runs`, `limit_age`, `disk`, `damaged`, `opted_out`, `purged`, `discarded`, `limit_open`; later versions may add others |
    /// | `rejected_spans`, `dropped_spans` | spans |
    /// | `left_out` | lines and values that were not sent, because they are damaged or not approved |
    /// | `newer_runs` | runs of a newer format |
    /// | `last_delivery` | a time, or null |
    /// | `last_failure` | null, or `kind`, `text`, and `at` as in [`Failure`](super::Failure); null after a delivery |
    /// | `next_try_in` | seconds, or null |
    /// | `unreported_starts` | uploaders that never reported their end, since the last one that did |
    /// | `start_trouble` | why uploaders fail to run, as a text, or null |
    /// | `counting_since` | when counting began again after damage, or null |
    /// | `counts` | null, or `counted`, `waiting`, `lost`, and `next_period` as in [`CountStatus`](super::CountStatus) |
    pub fn to_json(&self) -> String {
        let destinations: Vec<Value> = self
            .destinations
            .iter()
            .map(|destination| {
                let dropped: Map<String, Value> = Outcome::ALL
                    .into_iter()
                    .filter(|outcome| *outcome != Outcome::Delivered)
                    .map(|outcome| {
                        let runs = destination.dropped.iter().find(|(reason, _)| *reason == outcome);
                        (outcome.name().to_owned(), json!(runs.map_or(0, |(_, runs)| *runs)))
                    })
                    .collect();
                let failure = destination.last_failure.as_ref();
                json!({
                    "name": destination.name,
                    "pending": destination.pending,
                    "being_written": destination.being_written,
                    "delivered": destination.delivered,
                    "dropped": dropped,
                    "rejected_spans": destination.rejected_spans,
                    "dropped_spans": destination.dropped_spans,
                    "left_out": destination.left_out,
                    "newer_runs": destination.newer_runs,
                    "last_delivery": destination.last_delivery,
                    "last_failure": failure.map(|failure| json!({ "kind": failure.kind, "text": failure.text, "at": failure.at })),
                    "next_try_in": destination.next_try_in,
                    "unreported_starts": destination.unreported_starts,
                    "start_trouble": destination.start_trouble,
                    "counting_since": destination.counting_since,
                    "counts": destination.counts.map(|counts| json!({
                        "counted": counts.counted,
                        "waiting": counts.waiting,
                        "lost": counts.lost,
                        "next_period": counts.next_period,
                    })),
                })
            })
            .collect();
        let reason = &self.decision.reason;
        let variable = match reason {
            Reason::Variable(name) => Some(name),
            _ => None,
        };
        let destination = self
            .destination
            .as_ref()
            .map(|(origin, chosen_by)| json!({ "origin": origin, "chosen_by": chosen_by.name() }));
        json!({
            "format": 1,
            "tool": self.tool,
            "telemetry": if self.decision.is_on { "on" } else { "off" },
            "reason": reason.name(),
            "reason_text": reason.to_string(),
            "variable": variable,
            "policy_file": self.policy_file.to_string_lossy(),
            "choice_file": self.choice_file.as_ref().map(|file| file.to_string_lossy()),
            "published_at": self.published_at,
            "destination": destination,
            "warnings": self.warnings,
            "destinations": destinations,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;

    #[test]
    fn json_keys_are_the_names_of_the_fields() {
        let status = fixture::status();
        let fields = format!("{:?}", status.destinations[0]);
        let json: serde_json::Value = serde_json::from_str(&status.to_json()).unwrap();
        let keys = json["destinations"][0].as_object().unwrap();
        assert_eq!(keys.len(), 16);
        for key in keys.keys() {
            assert!(fields.contains(&format!("{key}: ")), "{key} is no field: {fields}");
        }
    }

    #[test]
    fn the_published_aggregates_are_linked_or_null() {
        let mut status = fixture::status();
        assert!(status.to_json().contains("\"published_at\":null"));
        status.published_at = Some("https://example.com/usage".to_owned());
        assert!(status.to_json().contains("\"published_at\":\"https://example.com/usage\""));
    }
}
