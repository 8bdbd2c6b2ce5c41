//! Reading a check of kind `connect`.

use super::super::reader::Section;
use super::super::rule::optional;
use super::super::{Address, ConnectCheck, DEFAULT_CHECK_TIMEOUT};
use super::{read_address, read_port, read_regex, read_timeout};
use crate::resource_type::ResourceType;

/// A check of kind `connect`. Only a restored database has a port that everybody knows of.
pub(super) fn read(mut check: Section<'_>, about: Option<ResourceType>) -> Option<ConnectCheck> {
    let port_item = if about == Some(ResourceType::Rds) {
        check.optional("port")
    } else {
        check.needed(
            "port",
            "is missing; write for example port = 22: only a rule whose match says resource_type = \"RDS\" may leave it out",
        )
    };
    let has_port = port_item.is_some() || about == Some(ResourceType::Rds);
    let port = optional(port_item, read_port).filter(|_| has_port);
    let address_item = check.optional("address");
    let address = optional(address_item.clone(), read_address);
    if let (Some(item), Some(ResourceType::Rds), Some(Some(Address::Public))) =
        (&address_item, about, address)
    {
        item.mistake("a restored database has no public address");
    }
    let greeting = optional(check.optional("greeting"), |item| {
        read_regex(item, "leave it out when nothing must be said")
    });
    let timeout = optional(check.optional("timeout"), read_timeout);
    check.finish();
    Some(ConnectCheck {
        port: port?,
        address: address?.unwrap_or_default(),
        greeting: greeting?,
        timeout: timeout?.unwrap_or(DEFAULT_CHECK_TIMEOUT),
    })
}
