//! The program at work: a redirect that stops a load balancer, its mend, and a cluster whose add-on is off.
//!
//! Enters: recorded worlds. Leaves: a story on standard output. Never: talks to a cluster or to Google; leaves a process or a folder
//! behind, however it ends.

mod product;
mod show;
mod stage;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testbed::pods::Reply;
use testbed::{Assets, PrometheusAssets, World};

use crate::cargo;
use stage::Stage;

/// How long the story waits for what it tells.
const PATIENCE: Duration = Duration::from_secs(90);

/// Tells the story.
pub fn run(keep: bool, prometheus: bool) -> Result<()> {
    let keep = keep || prometheus;
    println!("Building what is missing.");
    let assets = Assets::locate()?;
    if prometheus {
        PrometheusAssets::locate()?;
    }
    // Of the whole workspace, so that the dependencies are compiled as the tests want them and not once more.
    cargo::run(["build", "--locked", "--workspace", "--bin", "ingress-diagnosis"], &[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start Tokio")?;
    runtime.block_on(async {
        tokio::select! {
            told = story(&assets, keep, prometheus) => told,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot wait for Ctrl-C")?;
                println!("\nEverything that was started is ended.");
                // With --keep this is how it is meant to end.
                if keep { Ok(()) } else { bail!("interrupted before the end") }
            }
        }
    })
}

async fn story(assets: &Assets, keep: bool, prometheus: bool) -> Result<()> {
    let start = Instant::now();
    let redirect = redirect(assets).await?;
    mend(&redirect).await?;
    let switched_off = switched_off(assets).await?;
    println!("\nTold in {:.0} s.", start.elapsed().as_secs_f64());
    let clusters = [("argocd", &redirect), ("switched-off", &switched_off)];
    let _prometheus = if prometheus { Some(watch::watch(&clusters).await?) } else { None };
    if keep {
        println!("\nBoth clusters go on until Ctrl-C.");
        for stage in [&redirect, &switched_off] {
            println!("\n# {}\n{}", stage.title(), stage.directions());
        }
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// First act: what is wrong.
async fn redirect(assets: &Assets) -> Result<Stage> {
    chapter("Argo CD behind a GKE Ingress: it never gets healthy, and no event says why");
    let stage = Stage::open("Argo CD behind a GKE Ingress", assets, recorded("argocd-redirect")?).await?;
    stage
        .until("every endpoint's health is known", PATIENCE, async || {
            let broken = stage.verdict("argocd", "argocd-server").await? == "Broken";
            Ok(broken && stage.verdict("media", "thumbs").await? == "Healthy")
        })
        .await?;
    println!("\n$ kubectl get ingressdiagnosis -A\n{}", stage.table().await?);
    println!("$ kubectl -n argocd get ingressdiagnosis argocd-server -o yaml   # in short");
    println!("{}", show::findings(&stage.diagnosis("argocd", "argocd-server").await?));
    println!(
        "\nThe neighbour media/thumbs is healthy, and nothing is said about it. The nginx Ingress is not GKE's, and has no diagnosis."
    );
    println!("\n$ curl {}/metrics   # in part\n{}", stage.address(), stage.metrics("ingress_diagnosis_verdict{").await?);
    Ok(stage)
}

/// Second act: what mends it.
async fn mend(stage: &Stage) -> Result<()> {
    chapter("The mend is applied: argocd-server runs with server.insecure, so it answers the health check with 200");
    let start = Instant::now();
    for probe in stage.world().probes.iter().flatten() {
        stage.pods().set(&probe.ip, probe.port, Reply::status(200))?;
    }
    stage.restart_deployment("argocd", "argocd-server").await?;
    if stage.google().update(|world| world.set_health("argocd-server", "HEALTHY")) == 0 {
        bail!("the recorded world has no endpoint of argocd-server");
    }
    println!("The pods answer 200, and Google's health checks see it.");
    stage
        .until("argocd/argocd-server turns Healthy", PATIENCE, async || {
            Ok(stage.verdict("argocd", "argocd-server").await? == "Healthy")
        })
        .await?;
    println!("The controller saw it after {:.0} s.", start.elapsed().as_secs_f64());
    println!("\n$ kubectl get ingressdiagnosis -A\n{}", stage.table().await?);
    stage.until("the Ingress itself says so", PATIENCE, async || Ok(stage.events("argocd").await?.contains("Resolved"))).await?;
    println!("$ kubectl -n argocd describe ingress argocd-server   # in part: its events\n{}", stage.events("argocd").await?);
    Ok(())
}

/// Third act: nobody listens.
async fn switched_off(assets: &Assets) -> Result<Stage> {
    chapter("Another cluster, in which no Ingress gets an address: its load balancing add-on is off");
    let stage = Stage::open("The add-on is off", assets, recorded("addon-disabled")?).await?;
    stage
        .until("the add-on's switch is read", PATIENCE, async || {
            let both = [stage.root_cause("shop", "checkout").await?, stage.root_cause("grafana", "grafana").await?];
            Ok(both.iter().all(|cause| cause == "HttpLoadBalancingDisabled"))
        })
        .await?;
    println!("\n$ kubectl get ingressdiagnosis -A\n{}", stage.table().await?);
    println!("{}", show::findings(&stage.diagnosis("shop", "checkout").await?));
    Ok(stage)
}

fn chapter(title: &str) {
    println!("\n== {title}\n");
}

fn recorded(name: &str) -> Result<World> {
    let folder: &Path = &cargo::root().join("tests/scenarios").join(name);
    let mut world = World::read(folder)?;
    world.shift_to_now();
    Ok(world)
}
