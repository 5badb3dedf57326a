//! Every identity × every class of topic × every packet, against an oracle that is written down a second time.
//!
//! [`topics`] makes the classes up from the catalogue in `docs/wire.md`; [`oracle`] says what must come of each.
//! Here the access list is asked about all of them; [`wire`] and [`wills_and_ids`] ask a broker about a subset that has every
//! bend of a topic with every outcome.

mod client;
mod oracle;
mod topics;
mod wills_and_ids;
mod wire;

use bytes::Bytes;
use tidegate_broker::access::{
    GatewayAccess, Identity, check_client_id, could_be_another_gateways, generated_client_id,
};
use tidegate_broker::mqtt::{Topic, filter_problem};
use tidegate_broker::{Role, User, Users};
use tidegate_protocol::topic::GatewayPath;
use tidegate_protocol::{GatewayId, SiteId};

use oracle::Who;
use topics::named;

fn role(who: &Who) -> Role {
    match who {
        Who::Gateway { site, gateway, .. } => {
            let site = SiteId::new(site).expect("a site");
            let gateway = GatewayId::new(gateway).expect("a gateway");
            Role::Gateway(GatewayAccess::new(GatewayPath::new(site, gateway)))
        }
        Who::Ingest => Role::Ingest,
        Who::Observer => Role::Observer,
        Who::Operator => Role::Operator,
    }
}

/// As the broker makes it of a user and of a certificate.
fn identities(who: &Who) -> [Identity; 2] {
    let certified: tidegate_trust::Identity = who.uri().parse().expect("an identity");
    [User::new(who.user(), who.user(), role(who)).identity, Identity::from(certified)]
}

fn publishes(identity: &Identity, name: &[u8]) -> bool {
    let topic = Topic::new(Bytes::copy_from_slice(name));
    topic.is_ok_and(|topic| identity.role.may_publish(topic.as_str()))
}

fn subscribes(identity: &Identity, name: &[u8]) -> bool {
    let text = std::str::from_utf8(name).ok().filter(|text| !text.contains('\0'));
    text.is_some_and(|text| filter_problem(text).is_none() && identity.role.may_subscribe(text))
}

#[test]
fn the_access_list_does_what_the_matrix_says() {
    let classes = topics::all();
    let mut wrong = Vec::new();
    for who in Who::ALL {
        let (mut may_publish, mut may_subscribe) = (0, 0);
        for class in &classes {
            let (publish, subscribe) = (who.may_publish(&class.name), who.may_subscribe(&class.name));
            may_publish += usize::from(publish);
            may_subscribe += usize::from(subscribe);
            for identity in identities(&who) {
                if publishes(&identity, &class.name) != publish {
                    wrong.push(format!("{who:?} publishes {}: {publish} expected", class.shown()));
                }
                if subscribes(&identity, &class.name) != subscribe {
                    wrong.push(format!("{who:?} subscribes {}: {subscribe} expected", class.shown()));
                }
            }
        }
        // Nothing is right about a matrix that is empty.
        let enough = match who {
            Who::Gateway { .. } => may_publish == 8 && may_subscribe == 5,
            Who::Ingest => may_publish > 50 && may_subscribe > 50,
            Who::Observer => may_publish == 0 && may_subscribe > 500,
            Who::Operator => may_publish > 50 && may_subscribe > 1000,
        };
        assert!(
            enough,
            "{who:?} publishes {may_publish} and subscribes {may_subscribe} of {}",
            classes.len()
        );
    }
    assert!(wrong.is_empty(), "{} of the matrix: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

#[test]
fn client_ids_are_whose_the_matrix_says() {
    let everybody: Vec<Identity> = Who::ALL.iter().map(|who| identities(who)[0].clone()).collect();
    let ids = topics::client_ids();
    for who in Who::ALL {
        let mut granted = 0;
        for id in &ids {
            let known = who.may_be_called(id, &|site, gateway| {
                matches!((site, gateway), ("plant", "gw1" | "gw2") | ("default", "gw1"))
            });
            granted += usize::from(known);
            let any = who.may_be_called(id, &|site, gateway| named(site) && named(gateway));
            for identity in identities(&who) {
                let allowed = check_client_id(&identity, id, &everybody).is_ok();
                assert_eq!(allowed, known, "{who:?} as {id:?}, of a list");
                let allowed =
                    check_client_id(&identity, id, &[]).is_ok() && !could_be_another_gateways(&identity, id);
                assert_eq!(allowed, any, "{who:?} as {id:?}, of certificates");
            }
        }
        assert!(granted > 2 && granted < ids.len() / 2, "{who:?} may have {granted} of {}", ids.len());
        for identity in identities(&who) {
            let made_up = generated_client_id(&identity, 7);
            assert!(who.may_be_called(&made_up, &|_, _| false), "{made_up}");
        }
    }
}

#[test]
fn who_brings_no_credentials_is_who_the_settings_say() {
    for (role, expected) in [
        (None, None),
        (Some(Role::Observer), Some(Role::Observer)),
        (Some(Role::Operator), Some(Role::Operator)),
    ] {
        let users = Users::new(vec![User::new("gw1", "gw1", self::role(&Who::GW1))], role);
        let found = users.login(None, None).ok().map(|identity| (*identity.role).clone());
        assert_eq!(found, expected);
    }
}
