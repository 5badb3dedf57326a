//! What `queue stats` prints.

use anyhow::Result;
use jiff::Timestamp;
use tidegate_agent::{Config, queue};

pub fn print(config: &Config) -> Result<()> {
    let stats = queue::read_stats(&config.data_dir)?;
    let totals = stats.totals;
    println!("blocks      {}", totals.blocks);
    println!("readings    {}", totals.readings);
    println!("disk bytes  {} of {}", totals.bytes, config.queue.quota_bytes);
    match stats.oldest_unix_ms {
        Some(at) => println!("oldest      {}", Timestamp::from_millisecond(at)?),
        None => println!("oldest      none"),
    }
    println!("quarantined {}", stats.quarantined.values().sum::<u64>());
    for (reason, blocks) in &stats.quarantined {
        println!("  {reason:<14} {blocks}");
    }
    println!("origins     {}", stats.origins.len());
    for record in &stats.origins {
        let state = if record.closed { "closed" } else { "open" };
        println!("  {}  floor {}  next {}  {state}", record.description.origin, record.floor, record.next);
    }
    if stats.entries != totals.blocks {
        println!("warning: {} blocks were counted, the totals say {}", stats.entries, totals.blocks);
    }
    Ok(())
}
