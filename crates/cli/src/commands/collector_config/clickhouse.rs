//! The exporter to ClickHouse, from whose table `publish --clickhouse` counts.

use tool_telemetry_publish::sources::Address;

use super::exporter::Exporter;
use super::ottl::Line;
use super::spans::ToolDefinition;

/// Nanoseconds of an hour.
const HOUR: u64 = 3_600_000_000_000;

/// The exporter, which keeps what it could not deliver on disk, synced, until it could. Rows go after the longest retention
/// of the tools.
pub(super) fn exporter(address: &Address, tools: &[ToolDefinition]) -> Exporter {
    let Address { origin, database } = address;
    let days = tools.iter().filter_map(|tool| Some(tool.definition.publisher()?.retention_days)).max();
    let ttl = days.map_or_else(String::new, |days| format!("\n    ttl: {}h", u64::from(days) * 24));
    Exporter {
        id: "clickhouse",
        settings: format!(
            "    endpoint: \"{origin}/\"\n    database: \"{database}\"\n    username: \"${{env:CLICKHOUSE_USER}}\"\n    \
             password: \"${{env:CLICKHOUSE_PASSWORD}}\"{ttl}\n    retry_on_failure:\n      max_elapsed_time: 0\n    \
             sending_queue:\n      storage: file_storage"
        ),
        comment: "Writes into the table otel_traces, from which `tool-telemetry publish --clickhouse` counts. It keeps rows in \
                  their order of arrival: neighbours may come from one machine.",
        extensions: Some((
            "file_storage",
            "    directory: /var/lib/otelcol/file_storage\n    create_directory: true\n    # A power cut loses nothing that was \
             acknowledged.\n    fsync: true"
                .to_owned(),
        )),
    }
}

/// Statements that round starts down to the hour, and keep durations.
pub(super) fn whole_hours() -> [Line; 2] {
    let start = "span.start_time_unix_nano";
    let hour = format!("{start} / {HOUR} * {HOUR}");
    [
        Line::new(
            "Starts are rounded down to the hour; durations stay.",
            &format!("set(span.end_time_unix_nano, span.end_time_unix_nano - {start} + {hour})"),
        ),
        Line::new("", &format!("set({start}, {hour})")),
    ]
}
