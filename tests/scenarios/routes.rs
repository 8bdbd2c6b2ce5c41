//! Nothing is restored into a network whose routes lead out, and what waits for that goes on once it is mended.

use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{
    Fault, Machine, RestoreBehaviour, Route, RouteTable, Times, WorldOptions,
};
use restore_proof_tests::{
    MAIN_ROUTE_TABLE, NETWORK_CIDR, PREFIX, ROUTE_TABLE, SUBNET, SUBNETS, Scene, UNCHECKED, VAULT,
    VPC, route_table,
};
use serde_json::Value;

/// Lets a copy land, whatever comes of it. Returns the validation's id, and the error if there is one.
async fn try_to_land(scene: &Scene, point: &str) -> (String, Option<String>) {
    let job = scene.world.copy_job_of(point).unwrap();
    let landed = scene.try_invoke(scene.world.copy_job_event(&job)).await;
    let id = validation_id(PREFIX, &scene.app.config.vault_arn(VAULT), point, None);
    (id, landed.err().map(|error| error.to_string()))
}

fn starts(scene: &Scene) -> usize {
    let calls = scene.world.calls().into_iter();
    let starts = calls.filter(|call| call.name() == "Backup.StartRestoreJob");
    starts.count()
}

/// The words of what keeps a validation from getting on.
fn trouble(scene: &Scene, id: &str) -> String {
    let validation = scene.validation(id);
    assert_eq!(validation["verdict"], Value::Null, "{validation:#}");
    let words = validation["trouble"]["words"].as_str();
    words.unwrap_or_default().to_owned()
}

/// The copy lands, is not restored while these tables are there, and is once the stack's own are back.
async fn is_refused_until_mended(scene: &Scene, point: &str, tables: &[RouteTable], says: &[&str]) {
    for table in tables {
        scene.world.add_route_table(table.clone());
    }
    let (id, error) = try_to_land(scene, point).await;
    // The invocation fails, so that an alarm rings.
    let error = error.expect("a landing that fails");
    scene.sweep().await;
    for words in says {
        assert!(error.contains(words), "{error} lacks {words:?}");
        let trouble = trouble(scene, &id);
        assert!(trouble.contains(words), "{trouble} lacks {words:?}");
    }
    assert_eq!(starts(scene), 0, "{says:?}");
    assert_eq!(scene.validation(&id)["intent"], Value::Null);

    for table in tables {
        let mended = match table.id.as_str() {
            ROUTE_TABLE => route_table(),
            id => RouteTable::main(id, VPC, NETWORK_CIDR),
        };
        scene.world.add_route_table(mended);
    }
    scene.sweep().await;
    assert_eq!(
        starts(scene),
        1,
        "mended, the next sweep restores: {says:?}"
    );
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "unchecked", "{record:#}");
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

#[tokio::test]
async fn each_kind_of_way_out_keeps_everything_from_being_restored() {
    for (to, target, words) in [
        ("0.0.0.0/0", "igw-0150ca7ed0000001a", "internet gateway"),
        ("::/0", "igw-0150ca7ed0000001a", "leads ::/0 to internet"),
        (
            "::/0",
            "eigw-0150ca7ed0000001b",
            "egress-only internet gateway",
        ),
        ("0.0.0.0/0", "nat-0150ca7ed0000001c", "NAT gateway"),
        ("10.0.0.0/8", "tgw-0150ca7ed0000001d", "transit gateway"),
        (
            "10.7.0.0/16",
            "pcx-0150ca7ed0000001e",
            "VPC peering connection",
        ),
        (
            "10.8.0.0/16",
            "vgw-0150ca7ed0000001f",
            "virtual private gateway",
        ),
        ("0.0.0.0/0", "eni-0150ca7ed0000002a", "network interface"),
        ("0.0.0.0/0", "lgw-0150ca7ed0000002b", "local gateway"),
        ("0.0.0.0/0", "cagw-0150ca7ed0000002c", "carrier gateway"),
        (
            "0.0.0.0/0",
            "vpce-0150ca7ed0000002d",
            "Gateway Load Balancer endpoint",
        ),
        (
            "pl-0150ca7ed0000002e",
            "tgw-0150ca7ed0000001d",
            "transit gateway",
        ),
        (
            "10.0.0.0/8",
            "arn:aws:networkmanager::111122223333:core-network/core-network-0150ca7ed0000002f",
            "network arn:aws:networkmanager",
        ),
    ] {
        let scene = Scene::set(UNCHECKED).await;
        let point = scene.backup("orders", RestoreBehaviour::bare());
        let says = [ROUTE_TABLE, to, target, words, "Delete such routes"];
        let bad = route_table().leading(to, target);
        is_refused_until_mended(&scene, &point, &[bad], &says).await;
    }
}

#[tokio::test]
async fn machines_and_clusters_wait_as_databases_do() {
    let bad = || route_table().leading("0.0.0.0/0", "nat-0150ca7ed0000001c");
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(scene.machine_point("0150a9", Machine::default()));
    is_refused_until_mended(&scene, &point, &[bad()], &["NAT gateway"]).await;
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.add(scene.cluster_point("orders"));
    is_refused_until_mended(&scene, &point, &[bad()], &["NAT gateway"]).await;
}

/// What a blackhole leads to may be attached again at any time.
#[tokio::test]
async fn a_blackhole_is_a_way_out() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let mut bad = route_table();
    bad.routes.push(Route {
        is_blackhole: true,
        ..Route::new("0.0.0.0/0", "igw-0150ca7ed0000001a")
    });
    is_refused_until_mended(&scene, &point, &[bad], &["a blackhole now"]).await;
}

#[tokio::test]
async fn the_main_table_counts_for_a_subnet_without_one_of_its_own() {
    let open_main = || {
        let main = RouteTable::main(MAIN_ROUTE_TABLE, VPC, NETWORK_CIDR);
        main.leading("0.0.0.0/0", "igw-0150ca7ed0000001a")
    };
    // Each subnet has its own: the main table is nobody's.
    let scene = Scene::set(UNCHECKED).await;
    scene.world.add_route_table(open_main());
    let point = scene.backup("orders", RestoreBehaviour::bare());
    assert_eq!(scene.prove(&point).await["verdict"], "unchecked");
    // One subnet has not, and none has. Pages of one table each: what leads out stands on the second.
    for own in [&SUBNETS[..1], &[]] {
        let options = WorldOptions {
            page_size: 1,
            ..WorldOptions::default()
        };
        let scene = Scene::with_options(UNCHECKED, options).await;
        let point = scene.backup("orders", RestoreBehaviour::bare());
        let own = RouteTable::isolated(ROUTE_TABLE, VPC, NETWORK_CIDR, own);
        is_refused_until_mended(&scene, &point, &[own, open_main()], &[MAIN_ROUTE_TABLE]).await;
    }
}

#[tokio::test]
async fn of_several_tables_those_of_the_isolated_subnets_count() {
    let open = |id: &str, vpc: &str, subnets: &[&str]| {
        let table = RouteTable::isolated(id, vpc, NETWORK_CIDR, subnets);
        table.leading("0.0.0.0/0", "igw-0150ca7ed0000001a")
    };
    // Of the same VPC and of another, for subnets that are not ours.
    let scene = Scene::set(UNCHECKED).await;
    let other = "subnet-0150ca7ed0000001b";
    for (id, vpc) in [
        ("rtb-0150ca7ed0000001a", VPC),
        ("rtb-0150ca7ed0000001b", "vpc-0150ca7ed0000001b"),
    ] {
        scene.world.add_route_table(open(id, vpc, &[other]));
    }
    let point = scene.backup("orders", RestoreBehaviour::bare());
    assert_eq!(scene.prove(&point).await["verdict"], "unchecked");
    // Each of ours has its own, and both lead out: people hear of both at once.
    let scene = Scene::set(UNCHECKED).await;
    let second = "rtb-0150ca7ed0000001c";
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let tables = [
        open(ROUTE_TABLE, VPC, &[SUBNET]),
        open(second, VPC, &SUBNETS[1..]),
    ];
    is_refused_until_mended(&scene, &point, &tables, &[ROUTE_TABLE, second]).await;
}

#[tokio::test]
async fn a_route_that_is_made_between_two_restores_stops_the_second() {
    let scene = Scene::set(UNCHECKED).await;
    let first = scene.backup("orders", RestoreBehaviour::bare());
    assert_eq!(scene.prove(&first).await["verdict"], "unchecked");
    assert_eq!(starts(&scene), 1);
    let open = route_table().leading("10.0.0.0/8", "tgw-0150ca7ed0000001d");
    scene.world.add_route_table(open);
    let second = scene.backup("invoices", RestoreBehaviour::bare());
    let (id, _) = try_to_land(&scene, &second).await;
    for _ in 0..5 {
        scene.sweep().await;
    }
    assert_eq!(starts(&scene), 1);
    assert!(trouble(&scene, &id).contains("tgw-0150ca7ed0000001d"));
    scene.world.add_route_table(route_table());
    assert_eq!(scene.close(&id).await["verdict"], "unchecked");
}

/// A run has written its intent and not got as far as the start: the next one asks again where the network leads.
#[tokio::test]
async fn a_route_that_is_made_between_intent_and_start_stops_the_start() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    // Neither a start nor a refusal, and final for the SDK.
    let unclear = Fault::error("IncompleteSignature", 400).times(Times::Forever);
    let unclear = scene.world.faults().fail("Backup.StartRestoreJob", unclear);
    let (id, error) = try_to_land(&scene, &point).await;
    assert!(error.is_some(), "the start failed");
    assert_eq!(scene.validation(&id)["stage"], "restoring");
    scene.world.faults().remove(unclear);
    assert!(scene.world.restore_jobs().is_empty());

    let open = route_table().leading("0.0.0.0/0", "igw-0150ca7ed0000001a");
    scene.world.add_route_table(open);
    let before = starts(&scene);
    scene.sweep().await;
    assert!(trouble(&scene, &id).contains("internet gateway igw-0150ca7ed0000001a"));
    // Also when its token is forgotten, and another attempt begins.
    for _ in 0..14 {
        scene.sweep().await;
    }
    assert_eq!(starts(&scene), before);
    assert!(trouble(&scene, &id).contains("internet gateway igw-0150ca7ed0000001a"));
    scene.world.add_route_table(route_table());
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "unchecked", "{record:#}");
    assert_eq!(scene.world.restore_jobs().len(), 1);
    scene.assert_clean();
}

/// Nobody mends it for a day: that says nothing of the backup.
#[tokio::test]
async fn a_way_out_that_stays_ends_inconclusive_after_a_day() {
    let scene = Scene::set(UNCHECKED).await;
    let open = route_table().leading("0.0.0.0/0", "igw-0150ca7ed0000001a");
    scene.world.add_route_table(open);
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let (id, _) = try_to_land(&scene, &point).await;
    for _ in 0..25 {
        scene.pass(SignedDuration::from_mins(55));
        scene.sweep().await;
    }
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_eq!(record["cleanup"], "nothing_to_delete");
    let reason = record["verdict_reason"].as_str().unwrap();
    for words in [
        "24 hours",
        ROUTE_TABLE,
        "0.0.0.0/0",
        "igw-0150ca7ed0000001a",
    ] {
        assert!(reason.contains(words), "{reason} lacks {words:?}");
    }
    assert_eq!(starts(&scene), 0);
}

/// What could not be asked, or was not answered whole, is never "isolated".
#[tokio::test]
async fn a_network_of_which_nothing_is_known_is_not_restored_into() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let denied = Fault::error("UnauthorizedOperation", 403).times(Times::Forever);
    let denied = scene.world.faults().fail("EC2.DescribeRouteTables", denied);
    let (id, error) = try_to_land(&scene, &point).await;
    let error = error.expect("a landing that fails");
    assert!(
        error.contains("ec2:DescribeRouteTables: UnauthorizedOperation"),
        "{error}"
    );
    scene.world.faults().remove(denied);
    // Neither the subnets' own tables nor the main one.
    let elsewhere = |id| RouteTable::main(id, "vpc-0150ca7ed0000001b", NETWORK_CIDR);
    scene.world.add_route_table(elsewhere(ROUTE_TABLE));
    scene.world.add_route_table(elsewhere(MAIN_ROUTE_TABLE));
    scene.sweep().await;
    let words = format!("no route table of subnet {SUBNET}");
    assert!(trouble(&scene, &id).contains(&words));
    assert_eq!(starts(&scene), 0);
    scene.world.add_route_table(route_table());
    scene.sweep().await;
    assert_eq!(scene.close(&id).await["verdict"], "unchecked");
}
