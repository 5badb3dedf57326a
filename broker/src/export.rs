//! The access list of [`crate::access`] in another broker's words.

use std::fmt::Write;

use tidegate_protocol::topic::{ALL_BLOCKS, ALL_STATUS, GatewayPath, Lane, UP_WORDS};
use tidegate_trust::{Identity, Role};

use crate::access::{ALL_ALARMS, ALL_DOWN, EVERYTHING_OF_OURS};

/// For Mosquitto, with `use_identity_as_username`: it knows a client by its certificate's common name, which is the identity
/// without `tidegate:` and slashes before it.
pub fn mosquitto_acl(identities: &[Identity]) -> String {
    let mut text = String::from(
        "# Written by `tidegate broker export-acl mosquitto`; write it anew when gateways come or go. Beside it, in mosquitto.conf:\n\
         #     require_certificate true\n\
         #     use_identity_as_username true\n\
         #     cafile ca.pem\n\
         #     crlfile revoked.pem\n",
    );
    for identity in identities {
        let mut line = |words: std::fmt::Arguments<'_>| {
            // A string has room.
            let _whole = writeln!(text, "{words}");
        };
        line(format_args!("\nuser {}", identity.common_name()));
        match identity {
            Identity::Gateway { site, gateway } => {
                let path = GatewayPath::new(*site, *gateway);
                let root = path.root();
                for word in Lane::ALL.map(Lane::name).into_iter().chain(UP_WORDS) {
                    line(format_args!("topic write {root}/up/{word}"));
                }
                line(format_args!("topic write {}", path.status()));
                line(format_args!("topic read {root}/down/#"));
            }
            Identity::Role { role: Role::Ingest, .. } => {
                for filter in [ALL_BLOCKS, ALL_STATUS] {
                    line(format_args!("topic read {filter}"));
                }
                for filter in [ALL_DOWN, ALL_ALARMS] {
                    line(format_args!("topic write {filter}"));
                }
            }
            Identity::Role { role: Role::Observer, .. } => {
                line(format_args!("topic read {EVERYTHING_OF_OURS}"))
            }
            // Mosquitto cannot take `tidegate/v1/#` out of what may be written.
            Identity::Role { role: Role::Operator, .. } => line(format_args!("topic read #")),
        }
    }
    text
}
