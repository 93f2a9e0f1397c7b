//! contoso and fabrikam ask at the same time, from the same address and ports, for pages at the same address.

use anyhow::Result;

use super::{Cast, Numbers, heading};
use crate::demo::answer;
use crate::demo::consumer::Consumer;

/// Pages that a consumer asks for in a round.
const PAGES: usize = 12;
/// Rounds after which all servers must have answered: the chance that one was left out by luck is below one in a million.
const ROUNDS: usize = 4;

pub(super) fn step(cast: &mut Cast, numbers: &mut Numbers) -> Result<()> {
    heading("contoso and fabrikam ask at once, from the same client address, at the same endpoint address");
    let consumers = [Consumer("contoso"), Consumer("fabrikam")];
    let mut served = [[0; 3]; 2];
    for _ in 0..ROUNDS {
        let asked = [consumers[0].ask(PAGES)?, consumers[1].ask(PAGES)?];
        println!();
        for ((consumer, asked), served) in consumers.iter().zip(asked).zip(&mut served) {
            let body = consumer.receive(asked)?;
            let one_line = body.lines().next().unwrap_or("nothing");
            let spread = answer::spread(&body);
            println!(
                "  {:<9} got {one_line:?} and {} more",
                consumer.0,
                body.lines().count().saturating_sub(1)
            );
            println!("            web-1: {} pages, web-2: {}, web-3: {}", spread[0], spread[1], spread[2]);
            let faults = answer::faults(consumer.0, PAGES, &body);
            cast.checks
                .none(format!("{} got its {PAGES} pages, each once, none of another's", consumer.0), &faults);
            spread.iter().zip(served).for_each(|(new, all)| *all += new);
            numbers.pages += spread.iter().sum::<usize>();
        }
        if served.iter().flatten().all(|&pages| pages > 0) {
            break;
        }
    }
    for (consumer, served) in consumers.iter().zip(served) {
        let all = served.iter().all(|&pages| pages > 0);
        cast.checks.that(format!("{} was served by all three servers: {served:?}", consumer.0), all);
    }
    Ok(())
}
