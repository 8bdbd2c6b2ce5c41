#![allow(clippy::unwrap_used)]
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::service::testing::*;
use crate::{Machine, RecoveryPoint, WebBehaviour, World, WorldOptions};

const PORTS: [u16; 2] = [18_080, 18_081];

fn serving(point: &mut RecoveryPoint) {
    point.machine = Some(Machine {
        ports: PORTS.to_vec(),
        boot_takes: Duration::from_secs(30),
        files: [
            ("/index.html", "<h1>shop</h1>"),
            ("status.json", "{\"orders\": 3}"),
            ("/a b/", "never"),
            ("/a b/index.html", "spaces"),
        ]
        .map(|(path, content)| (path.to_owned(), content.to_owned()))
        .into(),
        ..Machine::default()
    });
}

/// Restores, and waits for the machine's server: it is made by a task.
async fn restore(world: &World, clock: &HandClock) -> Ipv4Addr {
    start_machine(world, &machine_metadata());
    clock.ahead(60);
    for _ in 0..500 {
        if world.restore_jobs().pop().unwrap().status == "COMPLETED" {
            return world.ec2_instances().pop().unwrap().private_address;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", world.restore_jobs());
}

/// Status, head and body of an answer; `None` when nobody listens.
async fn ask(
    address: Ipv4Addr,
    port: u16,
    method: &str,
    path: &str,
) -> Option<(u16, String, String)> {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = match TcpStream::connect((address, port)) {
            Ok(stream) => stream,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
                return None;
            }
        };
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Some(answer)
    });
    let answer = answer.await.unwrap()?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some((status, head.to_owned(), body.to_owned()))
}

async fn status(address: Ipv4Addr, port: u16, path: &str) -> Option<u16> {
    ask(address, port, "GET", path)
        .await
        .map(|(status, ..)| status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_boots_serves_and_stops() {
    let (world, clock) = machine_world(serving);
    let address = restore(&world, &clock).await;
    assert_eq!(address.octets()[..2], [127, 77]);
    assert_eq!(world.ec2_instances()[0].state, "running");
    for port in PORTS {
        assert_eq!(status(address, port, "/").await, None);
    }
    clock.ahead(19);
    world.settle();
    assert_eq!(status(address, PORTS[0], "/").await, None);
    clock.ahead(1);
    world.settle();
    for port in PORTS {
        assert_eq!(status(address, port, "/").await, Some(503));
    }
    clock.ahead(10);
    let (code, head, body) = ask(address, PORTS[1], "GET", "/?x=1").await.unwrap();
    assert_eq!((code, body.as_str()), (200, "<h1>shop</h1>"));
    assert!(
        head.contains("content-type: text/html; charset=utf-8"),
        "{head}"
    );
    let (code, head, body) = ask(address, PORTS[0], "HEAD", "/status.json")
        .await
        .unwrap();
    assert_eq!((code, body.as_str()), (200, ""));
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("content-length: 13"), "{head}");
    for (method, path, wanted) in [
        ("GET", "/a%20b/", 200),
        ("GET", "/nothing", 404),
        ("GET", "/../index.html", 404),
        ("POST", "/", 405),
    ] {
        let (code, ..) = ask(address, PORTS[0], method, path).await.unwrap();
        assert_eq!(code, wanted, "{method} {path}");
    }

    // A connection that is open ends with the machine, and nobody listens any more.
    let mut open = tokio::net::TcpStream::connect((address, PORTS[0]))
        .await
        .unwrap();
    let id = world.ec2_instances().pop().unwrap().id;
    ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]);
    let mut left = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut open, &mut left);
    let ended = tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
    for port in PORTS {
        assert_eq!(status(address, port, "/").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_have_the_same_ports_at_different_addresses() {
    let (world, clock) = machine_world(|point| {
        serving(point);
        point.machine.as_mut().unwrap().boot_takes = Duration::ZERO;
        point.machine.as_mut().unwrap().web =
            WebBehaviour::RedirectTo("http://elsewhere.invalid/".to_owned());
    });
    restore(&world, &clock).await;
    restore(&world, &clock).await;
    world.settle();
    let machines = world.ec2_instances();
    assert_eq!(machines.len(), 2);
    assert_ne!(machines[0].private_address, machines[1].private_address);
    for machine in machines {
        let (code, head, _) = ask(machine.private_address, PORTS[0], "GET", "/x")
            .await
            .unwrap();
        assert_eq!(code, 302);
        assert!(
            head.contains("location: http://elsewhere.invalid/"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_machine_can_be_somebody_elses_server() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::new(127, 77, 1, 1), 0))
        .await
        .unwrap();
    let there = listener.local_addr().unwrap();
    let (world, clock) = machine_world(|point| {
        serving(point);
        point.machine.as_mut().unwrap().web = WebBehaviour::External(there);
    });
    let address = restore(&world, &clock).await;
    assert_eq!(SocketAddr::new(IpAddr::V4(address), there.port()), there);
}

#[tokio::test]
async fn a_port_that_may_not_be_had_fails_the_restore() {
    let (world, clock) = machine_world(|point| {
        serving(point);
        // The same port twice is never free.
        point.machine.as_mut().unwrap().ports = vec![PORTS[0], PORTS[0]];
    });
    start_machine(&world, &machine_metadata());
    clock.ahead(60);
    for _ in 0..500 {
        if world.restore_jobs()[0].status == "FAILED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let message = world.restore_jobs()[0].status_message.clone().unwrap();
    assert!(message.contains("none had the ports"), "{message}");
    assert!(world.ec2_instances().is_empty() && world.volumes().is_empty());
}

#[tokio::test]
async fn a_world_of_backup_alone_makes_machines_elsewhere() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&request).contains("Action=RunInstances") {
            let read = stream.read(&mut part).await.unwrap();
            request.extend_from_slice(&part[..read]);
        }
        let body = "<RunInstancesResponse><instancesSet><item><instanceId>i-0eeeeeeeeeeeeeeee</instanceId></item></instancesSet></RunInstancesResponse>";
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let world = World::new(WorldOptions {
        ec2_endpoint: Some(endpoint),
        ..WorldOptions::default()
    });
    let mut point = RecoveryPoint {
        arn: MACHINE_POINT.to_owned(),
        resource_type: "EC2".to_owned(),
        ..RecoveryPoint::default()
    };
    serving(&mut point);
    world.add_recovery_point(point);
    start_machine(&world, &machine_metadata());
    for _ in 0..500 {
        if world.restore_jobs()[0].completed_at.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let request = asked.await.unwrap();
    for part in [
        "/ec2/aws4_request",
        "ImageId=ami-0123456789abcdef0",
        "MinCount=1",
        "MaxCount=1",
        "SubnetId=subnet-1",
        "SecurityGroupId.1=sg-1",
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
        "MetadataOptions.HttpTokens=required",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
    assert_eq!(
        world.restore_jobs()[0].created_resource_arn.as_deref(),
        Some("arn:aws:ec2:eu-central-1:111111111111:instance/i-0eeeeeeeeeeeeeeee")
    );
    assert!(world.ec2_instances().is_empty());
}
