//! A host that was away for longer than its certificate lives, or lost its disk, comes back as the
//! host that it was, with a token of its own.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use novacron_protocol::host::Connectivity;
use novacron_tests::lab::agent;
use novacron_tests::lab::hypervisor::Driver;
use novacron_tests::lab::privilege::{Privilege, acquire_for_test};
use novacron_tests::lab::{Lab, Plan};
use novacron_tests::wait;

#[test]
fn a_host_comes_back_under_its_id_with_a_token_of_its_own() -> Result<()> {
    if acquire_for_test("a_host_comes_back_under_its_id_with_a_token_of_its_own")?
        == Privilege::Delegated
    {
        return Ok(());
    }
    let plan =
        Plan { name: "comeback".to_owned(), members: 1, hosts: 2, driver: Driver::Simulated };
    let mut lab = Lab::for_test(plan)?;
    let fleet = lab.fleet();
    let before = fleet.host("h1")?;

    switch_off(&mut lab)?;
    let identity = lab.hosts[0].data().join("identity.pem");
    let first = fs::read(&identity)?;
    let other = agent::host_token(&lab.cli())?;
    let refused = lab.hosts[0].join_again(&other).err().context("any token would do")?;
    ensure!(format!("{refused:#}").contains("--host h1"), "no word on what to do: {refused:#}");
    ensure!(fs::read(&identity)? == first, "the identity changed all the same");

    let token = agent::returning_host_token(&lab.cli(), "h1")?;
    lab.hosts[0].join_again(&token)?;
    ensure!(fs::read(&identity)? != first, "the certificate is the old one");
    lab.hosts[0].agent.start()?;
    wait_for(&lab, Connectivity::Connected)?;
    ensure!(fleet.host("h1")?.id == before.id && fleet.hosts()?.len() == 2);

    // With its disk lost it joins as if for the first time, and is itself all the same.
    switch_off(&mut lab)?;
    fs::remove_dir_all(lab.hosts[0].data())?;
    let token = agent::returning_host_token(&lab.cli(), "h1")?;
    lab.hosts[0].join(&token)?;
    lab.hosts[0].agent.start()?;
    wait_for(&lab, Connectivity::Connected)?;
    ensure!(fleet.host("h1")?.id == before.id && fleet.hosts()?.len() == 2);
    lab.take_down()
}

fn switch_off(lab: &mut Lab) -> Result<()> {
    lab.hosts[0].agent.kill()?;
    wait_for(lab, Connectivity::Disconnected)
}

fn wait_for(lab: &Lab, connectivity: Connectivity) -> Result<()> {
    let fleet = lab.fleet();
    wait::for_true(&format!("h1 to be {connectivity}"), LIMIT, || {
        Ok(fleet.host("h1")?.connectivity == connectivity)
    })
}

const LIMIT: Duration = Duration::from_secs(60);
