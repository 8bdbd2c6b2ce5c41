//! `local-aws serve`: a world from a JSON file, on loopback, for other clients (the AWS CLI,
//! boto3, a bootstrap under test).

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use restore_proof_local_aws::{SeedFile, World, WorldOptions, serve};
use serde_json::{Value, json};

const USAGE: &str = "usage: local-aws serve [--addr 127.0.0.1:PORT] [--world SEED.json] [--record FILE] [--rds-endpoint URL]
                       [--ec2-endpoint URL]

  --addr          where to listen; default 127.0.0.1:0, any free port
  --world         what the world holds (the seeding structs as JSON); default: nothing
  --record        append every request and answer to this file, one JSON object per line
  --rds-endpoint  play AWS Backup only, and create restored DB instances at this RDS endpoint
  --ec2-endpoint  play AWS Backup only, and create restored EC2 instances at this EC2 endpoint

Prints one JSON object per line: first the address, then every event and Lambda invocation.";

#[tokio::main]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-aws: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Vec<String>) -> anyhow::Result<()> {
    let mut arguments = arguments.into_iter();
    match arguments.next().as_deref() {
        Some("serve") => {}
        Some("-h" | "--help") => {
            println!("{USAGE}");
            return Ok(());
        }
        _ => bail!("{USAGE}"),
    }
    let mut address: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut seed = SeedFile::default();
    let mut record: Option<PathBuf> = None;
    let mut options = WorldOptions::default();
    while let Some(option) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{option} needs a value\n\n{USAGE}"))?;
        match option.as_str() {
            "--addr" => {
                address = value
                    .parse()
                    .with_context(|| format!("{value} is no address like 127.0.0.1:4566"))?
            }
            "--world" => {
                let text = std::fs::read_to_string(&value)
                    .with_context(|| format!("read the world {value}"))?;
                seed = serde_json::from_str(&text)
                    .with_context(|| format!("understand the world {value}"))?;
            }
            "--record" => record = Some(value.into()),
            "--rds-endpoint" => options.rds_endpoint = Some(value),
            "--ec2-endpoint" => options.ec2_endpoint = Some(value),
            other => bail!("{other} is no option of serve\n\n{USAGE}"),
        }
    }
    let world = seed.into_world(options);
    if let Some(file) = record {
        world.record_to(&file)?;
    }
    let server = serve(world.clone(), address).await?;
    say(&json!({"address": server.address().to_string(), "url": server.url()}));
    sinks(&world);
    interrupted().await?;
    Ok(())
}

/// Ctrl-C or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("listen for the signal to terminate")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("listen for Ctrl-C"),
        _ = terminated.recv() => Ok(()),
    }
}

fn sinks(world: &World) {
    world.set_event_sink(Arc::new(|event| say(&json!({"event": event}))));
    world.set_invoke_sink(Arc::new(|function, payload| {
        say(&json!({"invoke": function, "payload": payload}))
    }));
}

/// One line on standard output; a reader that has gone is no reason to stop.
fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
