//! Component files: what deployments name is there and good, and what else is there.

use std::collections::BTreeMap;

use tidegate_engine::StoreError;
use tidegate_engine::integration::Digest;
use tidegate_engine::upkeep::CheckReport;

use crate::components::Components;

/// Check the files of these components, each with the deployment that names it.
pub(super) fn check(
    components: &Components,
    deployed: &BTreeMap<Digest, String>,
) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    for (digest, deployment) in deployed {
        report.components += 1;
        match components.get(*digest) {
            Ok(_) => {}
            Err(StoreError::NotFound { .. }) => report.wrong(
                deployment.clone(),
                format!("its component {digest} is not there; deploy it again"),
            ),
            Err(StoreError::Damaged { place, reason }) => {
                report.wrong(format!("{deployment}, {place}"), reason);
            }
            Err(error) => return Err(error),
        }
    }
    let mut unused = 0;
    for (path, _) in components.files()? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digest = name
            .strip_suffix(".wasm")
            .and_then(|name| name.parse::<Digest>().ok());
        match digest {
            Some(digest) if deployed.contains_key(&digest) => {}
            Some(_) => unused += 1,
            None => report.notes.push(format!(
                "{} is no component; an interrupted write may have left it",
                path.display()
            )),
        }
    }
    if unused > 0 {
        report.notes.push(format!(
            "{unused} component files that no deployment names any more"
        ));
    }
    Ok(report)
}
