//! The show: acts in their order, while the shop goes on.
//!
//! ```text
//! Starting -> Well -> CrmFails -> CrmBack -> Killed -> Restarted -> Draining -> the end
//! ```

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::database::told;
use super::super::printed::{columns, printable};
use super::super::signals::Ended;
use super::super::{Exit, secrets};
use super::books::Books;
use super::cluster::Cluster;
use super::daemon::Daemon;
use super::setting::{self, CRM, ENDPOINTS, SECRETS};
use super::shop::{Expected, Shop};
use super::{DemoArguments, say, summary};
use crate::delivery::signature::SigningKey;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::{Client, connect};
use crate::receiver::line::{self, DIM, Lines, STRONG, styled};
use crate::receiver::received;
use crate::receiver::seen::Sight;
use crate::receiver::server::{self, Answering, Receipt, Reply};

const START_WAIT_MAX: Duration = Duration::from_secs(30);
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// ` 12.34s ` and `billing `.
const CLOCK_WIDTH: usize = 8;
const NAME_WIDTH: usize = 8;
const DEAD_FOR_MAX: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Starting,
    Well,
    CrmFails,
    CrmBack,
    Killed,
    Restarted,
    Draining,
}

/// How the show ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Played,
    /// A person ended it.
    Interrupted,
}

pub async fn run(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let mut ended = Ended::new()?;
    say("walhook demo: starting a throwaway PostgreSQL ...")?;
    let programs = arguments.pg_bin.clone();
    let starting = tokio::task::spawn_blocking(move || Cluster::start(programs.as_deref()));
    // Not broken off: a half-made cluster could not be removed.
    let cluster = starting.await??;
    let played = play(arguments, &cluster, &mut ended).await;
    let stopped = tokio::task::spawn_blocking(move || cluster.stop()).await?;
    let exit = played?;
    stopped?;
    say(&styled(
        DIM,
        "the daemon, PostgreSQL and their directory are gone: nothing is left behind",
    ))?;
    Ok(exit)
}

async fn play(
    arguments: &DemoArguments,
    cluster: &Cluster,
    ended: &mut Ended,
) -> anyhow::Result<Exit> {
    let (client, version) = shop_database(cluster).await?;
    let crm_fails = Arc::new(AtomicBool::new(false));
    let mut keys = Vec::new();
    let mut secrets_of = Vec::new();
    for name in SECRETS {
        let secret = secrets::fresh()?;
        keys.push(SigningKey::parse(&secret)?);
        secrets_of.push((name, secret.to_string()));
    }
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    let config = cluster.path().join("config.yaml");
    std::fs::write(&config, setting::config(&cluster.conninfo("shop"), address))?;
    let daemon = Daemon::new(cluster.path(), config, secrets_of)?;
    say(&introduction(&version, cluster.path(), address))?;

    let (sender, receipts) = mpsc::channel(10_000);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server::serve(
        listener,
        answering(keys, crm_fails.clone(), sender),
        stop.clone(),
    ));
    let mut show = Show::new(arguments, daemon, client, crm_fails);
    let result = show.play(receipts, ended).await;
    let graceful = show.daemon.stop().await;
    stop.cancel();
    serving.await??;
    let ending = match result {
        Ok(ending) => ending,
        Err(error) => {
            let words = printable_lines(&show.daemon.last_words());
            return Err(error.context(format!("the daemon's last words:\n{words}\n")));
        }
    };
    if ending == Ending::Interrupted {
        say("\nended before its time: what was on its way is not counted")?;
        return Ok(Exit::Failed);
    }
    say(&summary::text(&show.books))?;
    if !graceful? {
        bail!("the daemon did not end as it should after SIGTERM");
    }
    Ok(if summary::kept(&show.books) {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn introduction(version: &str, directory: &Path, receiver: SocketAddr) -> String {
    format!(
        "  PostgreSQL {version} in {}\n  \
         a receiver that verifies on {receiver}\n  \
         a shop that knows nothing of webhooks; rules make of its rows\n    \
         orders  -> order.created, order.paid, order.cancelled -> billing, crm\n            \
         order.shipped -> crm\n    \
         tickets -> a message -> chat\n",
        directory.display()
    )
}

fn printable_lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {}\n", printable(line)))
        .collect()
}

/// Makes the shop's database; the client is driven until the process ends.
async fn shop_database(cluster: &Cluster) -> anyhow::Result<(Client, String)> {
    let admin = client(cluster, "postgres").await?;
    admin
        .batch_execute("CREATE DATABASE shop")
        .await
        .map_err(told)?;
    let client = client(cluster, "shop").await?;
    client.batch_execute(setting::SCHEMA).await.map_err(told)?;
    let row = client
        .query_one("SHOW server_version", &[])
        .await
        .map_err(told)?;
    let version: String = row.try_get(0).map_err(told)?;
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    Ok((client, version))
}

async fn client(cluster: &Cluster, database: &str) -> anyhow::Result<Client> {
    let info = ConnInfo::parse(&cluster.conninfo(database), &|_| None).map_err(told)?;
    let (control, connection) = connect::control(&info).await.map_err(told)?;
    tokio::spawn(connection);
    Ok(control.client)
}

fn answering(
    keys: Vec<SigningKey>,
    crm_fails: Arc<AtomicBool>,
    receipts: mpsc::Sender<Receipt>,
) -> Answering {
    let reply = move |path: &str| {
        let fails = path == "/crm" && crm_fails.load(Ordering::Relaxed);
        Reply {
            status: if fails { 503 } else { 204 },
            delay: Duration::ZERO,
        }
    };
    Answering {
        keys,
        reply: Arc::new(reply),
        receipts,
    }
}

/// What must have come before an endpoint, or all of them, count as well again.
struct CatchUp {
    /// `None`: all.
    endpoint: Option<usize>,
    goal: HashSet<Expected>,
    since: Instant,
}

struct Show {
    daemon: Daemon,
    client: Client,
    crm_fails: Arc<AtomicBool>,
    shop: Shop,
    books: Books,
    act: Act,
    length: Duration,
    traffic: Interval,
    begun: Instant,
    /// When the act ends by itself.
    act_ends: Instant,
    catching_up: Vec<CatchUp>,
    /// Commits of the shop when the daemon was killed.
    expected_at_kill: usize,
    lines: Lines,
}

impl Show {
    fn new(
        arguments: &DemoArguments,
        daemon: Daemon,
        client: Client,
        crm_fails: Arc<AtomicBool>,
    ) -> Self {
        let mut traffic = tokio::time::interval(Duration::from_secs(1) / arguments.rate);
        traffic.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        Show {
            daemon,
            client,
            crm_fails,
            shop: Shop::default(),
            books: Books::default(),
            act: Act::Starting,
            length: arguments.length,
            traffic,
            begun: now,
            act_ends: now + START_WAIT_MAX,
            catching_up: Vec::new(),
            expected_at_kill: 0,
            lines: Lines::new(columns(), CLOCK_WIDTH + NAME_WIDTH),
        }
    }

    async fn play(
        &mut self,
        mut receipts: mpsc::Receiver<Receipt>,
        ended: &mut Ended,
    ) -> anyhow::Result<Ending> {
        self.daemon.start()?;
        // The notification and the end of the daemon are of one owner: asked for in turn.
        loop {
            let waits = matches!(self.act, Act::Starting | Act::Restarted);
            let trades = !matches!(self.act, Act::Starting | Act::Draining);
            if self.act == Act::Draining && self.books.missing(None).is_empty() {
                return Ok(Ending::Played);
            }
            let act_ends = self.act_ends;
            tokio::select! {
                biased;
                () = ended.wait() => return Ok(Ending::Interrupted),
                Some(receipt) = receipts.recv() => self.receive(&receipt)?,
                came = ready_or_ended(&mut self.daemon, waits) => {
                    came?;
                    self.streaming()?;
                }
                () = sleep_until(act_ends) => self.next_act().await?,
                _ = self.traffic.tick(), if trades => {
                    let expected = self.shop.step(&self.client).await?;
                    self.books.expect(expected);
                }
            }
        }
    }

    /// The daemon says that it streams.
    fn streaming(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        match self.act {
            Act::Starting => {
                self.begun = now;
                self.act = Act::Well;
                self.act_ends = self.at(20);
                for endpoint in 0..ENDPOINTS.len() {
                    self.books.calm(endpoint, Some(now_us()));
                }
                self.banner("the daemon streams; the shop opens")
            }
            Act::Restarted => {
                let took =
                    line::milliseconds(now.duration_since(self.restarted()).as_secs_f64() * 1e3);
                let meanwhile = self.books.expected() - self.expected_at_kill;
                self.catch_up(None);
                self.act = Act::Well;
                self.act_ends = self.at(100);
                self.banner(&format!(
                    "it streams again, {took} after its start; {meanwhile} webhooks are due"
                ))
            }
            _ => Ok(()),
        }
    }

    async fn next_act(&mut self) -> anyhow::Result<()> {
        match self.act {
            Act::Starting => bail!("the daemon does not stream after {START_WAIT_MAX:?}"),
            Act::Restarted => bail!("the daemon does not stream after it was started again"),
            // Before the first failure, and after the restart.
            Act::Well if self.at(100) <= Instant::now() => {
                self.act = Act::Draining;
                self.act_ends = Instant::now() + DRAIN_WAIT_MAX;
                self.banner("the shop closes; what is still on its way is waited for")
            }
            Act::Well => {
                self.crm_fails.store(true, Ordering::Relaxed);
                self.books.calm(CRM, None);
                self.act = Act::CrmFails;
                self.act_ends = self.at(45);
                self.banner("crm answers 503 from here on; billing and chat do not notice")
            }
            Act::CrmFails => {
                self.crm_fails.store(false, Ordering::Relaxed);
                self.act = Act::CrmBack;
                self.act_ends = self.at(65);
                let waiting = self.books.missing(Some(CRM)).len();
                self.catch_up(Some(CRM));
                self.banner(&format!(
                    "crm is back; {waiting} events waited for it, in order"
                ))
            }
            Act::CrmBack => {
                self.daemon.kill().await?;
                for endpoint in 0..ENDPOINTS.len() {
                    self.books.calm(endpoint, None);
                }
                self.expected_at_kill = self.books.expected();
                self.act = Act::Killed;
                self.act_ends = Instant::now() + DEAD_FOR_MAX.min(self.length / 10);
                self.banner("kill -9: the daemon is dead; the shop goes on")
            }
            Act::Killed => {
                self.daemon.start()?;
                self.act = Act::Restarted;
                self.act_ends = Instant::now() + START_WAIT_MAX;
                Ok(())
            }
            Act::Draining => {
                let missing = self.books.missing(None).len();
                say(&format!(
                    "{missing} webhooks have not come within {DRAIN_WAIT_MAX:?}"
                ))?;
                say(&summary::text(&self.books))?;
                Err(anyhow!("{missing} webhooks are missing"))
            }
        }
    }

    fn receive(&mut self, receipt: &Receipt) -> anyhow::Result<()> {
        self.books.refuse(receipt.verdict);
        let name = receipt.path.trim_start_matches('/');
        let endpoint = ENDPOINTS.iter().position(|endpoint| *endpoint == name);
        let endpoint = endpoint.context("a webhook came for an endpoint that there is not")?;
        let id = receipt.header("webhook-id").unwrap_or_default();
        for event in received::events(id, &receipt.body) {
            let sight = if receipt.accepted() {
                self.books.take(endpoint, receipt, &event)
            } else {
                Sight::Fresh
            };
            let line = self.lines.event(receipt, &event, sight, printable);
            say(&format!("{} {name:<7} {line}", self.clock()))?;
        }
        self.caught_up()
    }

    fn catch_up(&mut self, endpoint: Option<usize>) {
        self.catching_up.push(CatchUp {
            endpoint,
            goal: self.books.missing(endpoint),
            since: Instant::now(),
        });
    }

    fn caught_up(&mut self) -> anyhow::Result<()> {
        let books = &self.books;
        let reached = self
            .catching_up
            .extract_if(.., |catch_up| books.reached(&catch_up.goal))
            .collect::<Vec<_>>();
        for CatchUp {
            endpoint, since, ..
        } in reached
        {
            let took = line::milliseconds(since.elapsed().as_secs_f64() * 1e3);
            match endpoint {
                Some(endpoint) => {
                    self.books.calm(endpoint, Some(now_us()));
                    self.banner(&format!("crm has caught up, {took} after it was back"))?;
                }
                None => {
                    for endpoint in 0..ENDPOINTS.len() {
                        self.books.calm(endpoint, Some(now_us()));
                    }
                    self.banner(&format!(
                        "all of them have come, {took} later: nothing was lost"
                    ))?;
                }
            }
        }
        Ok(())
    }

    /// So many percent of the show.
    fn at(&self, percent: u32) -> Instant {
        self.begun + self.length * percent / 100
    }

    fn restarted(&self) -> Instant {
        self.act_ends - START_WAIT_MAX
    }

    fn clock(&self) -> String {
        let text = format!("{:>6.2}s", self.begun.elapsed().as_secs_f64());
        styled(DIM, &text)
    }

    fn banner(&self, text: &str) -> anyhow::Result<()> {
        Ok(say(&format!(
            "{} {}",
            self.clock(),
            styled(STRONG, &format!("-- {text}"))
        ))?)
    }
}

/// `waits`: comes back when the daemon streams. In any case with an error when it ended.
async fn ready_or_ended(daemon: &mut Daemon, waits: bool) -> anyhow::Result<()> {
    if waits {
        tokio::time::timeout(START_WAIT_MAX * 2, daemon.ready_or_ended()).await?
    } else {
        let status = daemon.ended().await?;
        Err(anyhow!("the daemon ended with {status}"))
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}
