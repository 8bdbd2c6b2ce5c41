//! Reading a check of kind `connect`.

use super::super::{Address, ConnectCheck};
use super::{read_address, read_port, read_regex};
use crate::reader::{Section, optional};
use crate::resource_type::ResourceType;

/// A check of kind `connect`. Only some types have a port that everybody knows of.
pub(super) fn read(mut check: Section<'_>, about: Option<ResourceType>) -> Option<ConnectCheck> {
    let no_port = about.is_some_and(|about| about.facts().fits.no_port);
    let port_item = if no_port {
        check.optional("port")
    } else {
        let types = ResourceType::ALL.into_iter();
        let types: Vec<String> = types
            .filter(|one| one.facts().fits.no_port)
            .map(|one| format!("\"{}\"", one.name()))
            .collect();
        check.needed(
            "port",
            format!(
                "is missing; write for example port = 22: only a rule whose match says resource_type = {} may leave it out",
                types.join(" or ")
            ),
        )
    };
    let has_port = port_item.is_some() || no_port;
    let port = optional(port_item, read_port).filter(|_| has_port);
    let address_item = check.optional("address");
    let address = optional(address_item.clone(), read_address);
    if let (Some(item), Some(Some(Address::Public))) = (&address_item, address)
        && let Some(Err(problem)) = about.map(|about| about.facts().fits.public_address)
    {
        item.mistake(problem);
    }
    let greeting = optional(check.optional("greeting"), |item| {
        read_regex(item, "leave it out when nothing must be said")
    });
    check.finish();
    Some(ConnectCheck {
        port: port?,
        address: address?.unwrap_or_default(),
        greeting: greeting?,
    })
}
