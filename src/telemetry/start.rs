//! Starts telemetry, or becomes the uploader.

use super::handle::Telemetry;
use super::preview::{self, Preview};
use super::recording::Recording;
use crate::consent::notice::PendingNotice;
use crate::consent::preflight::Preflight;
use crate::consent::{Decision, Reason};
use crate::env::Environment;
use crate::model::settings::Settings;
use crate::upload::launch::ProcessRole;
use crate::upload::process::{self, ExporterOpener};

/// Starts telemetry. In the uploader, this never returns; `open_exporter` then opens the author's own exporter.
pub(super) fn start(settings: Settings, open_exporter: ExporterOpener<'_>) -> Telemetry {
    let environment = Environment::process();
    match ProcessRole::of(environment, &mut std::env::args_os()) {
        ProcessRole::Tool => {}
        ProcessRole::Uploader(purpose) => process::run(&settings, open_exporter, purpose),
        ProcessRole::Inert => return Telemetry::off(settings, Reason::Uploader),
    }
    let preflight = Preflight::run(&settings, environment);
    let decision = preflight.recording_decision(&settings, environment);
    let preview = Preview::from_mode(preflight.mode_override);
    // A preview already shows the user what a notice lists.
    let needs_notice = preflight.decision.is_on && preview.is_none();
    let notice = needs_notice.then(|| PendingNotice::check(&settings, &preflight, environment)).flatten();
    let mut telemetry = Telemetry::off(settings, Reason::Default);
    telemetry.decision = decision;
    let announcement = match preflight.is_ci && telemetry.decision.is_on {
        true => notice,
        false => {
            telemetry.notice = notice;
            None
        }
    };
    if !telemetry.decision.is_on && preview.is_none() {
        return telemetry;
    }
    let (settings, decision) = (&telemetry.settings, &telemetry.decision);
    match Recording::start(settings, decision, preflight, preview, announcement, environment) {
        Some(recording) => telemetry.recording = Some(recording),
        None => {
            let reason = Reason::InvalidSetup("telemetry was started twice in this process".to_owned());
            if preview == Some(Preview::Explanation) {
                preview::print(&format!("{} telemetry: {reason}\n", settings.name));
            }
            telemetry.decision = Decision { is_on: false, reason };
        }
    }
    telemetry
}
