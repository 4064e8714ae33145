//! What a connection's evidence adds up to: outcome, cause, tier, evidence, rivals, fixes.

use super::connection::{Connection, ConnectionId};
use super::line::Word;
use super::source::{RecordRef, Source};
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

macro_rules! causes {
    ($($variant:ident $code:literal $id:literal $title:literal),+ $(,)?) => {
        /// The catalogue of causes; ids and codes are stable and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Cause { $($variant),+ }

        impl Cause {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),+ }
            }
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
            /// A connection with this cause ...
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
            pub fn parse(id_or_code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|c| c.id() == id_or_code || c.code().eq_ignore_ascii_case(id_or_code))
            }
        }
    };
}

causes! {
    IdleTimeout "W101" "idle-timeout" "was silent for too long and a hop closed it",
    LifetimeCap "W102" "lifetime-cap" "was cut at a fixed total life although traffic flowed",
    MiddleboxExpiry "W103" "middlebox-expiry" "was forgotten by a NAT, firewall or conntrack table",
    MissedHeartbeat "W201" "missed-heartbeat" "stopped answering pings, and the server gave up on it",
    ClientHeartbeatTimeout "W202" "client-heartbeat-timeout" "was closed by the client, which saw no ping or pong in time",
    MissingUpgrade "W301" "missing-upgrade" "never upgraded: a hop did not pass Upgrade, Connection or HTTP/1.1",
    UpstreamUnavailable "W302" "upstream-unavailable" "never upgraded: the upstream refused or was not there",
    HandshakeTimeout "W303" "handshake-timeout" "never upgraded: nobody answered in time",
    HandshakeRejected "W304" "handshake-rejected" "never upgraded: the application said no",
    TlsFailure "W305" "tls-failure" "never upgraded: the TLS handshake or a certificate failed",
    ClientNetworkChange "W401" "client-network-change" "went silent because the client's address changed",
    ClientVanished "W402" "client-vanished" "went silent, and nobody came back",
    HalfOpenDuplicate "W403" "half-open-duplicate" "stayed open at the server after its client had come back",
    ClientAbort "W404" "client-abort" "was ended by the client without a Close frame",
    InjectedReset "W405" "injected-reset" "was reset by something that is neither end nor a known hop",
    ServerCrash "W501" "server-crash" "ended because the server process died",
    ServerException "W502" "server-exception" "ended on an application error",
    ServerRestart "W503" "server-restart" "was drained by a restart or scale-in of the server",
    ResourceExhaustion "W504" "resource-exhaustion" "failed on descriptors, connections, memory or threads",
    SlowConsumer "W505" "slow-consumer" "was cut because the client did not read",
    ProxyRestart "W506" "proxy-restart" "was cut by a reload, stop or crash of a proxy",
    MessageTooBig "W601" "message-too-big" "was closed with 1009",
    ProtocolError "W602" "protocol-error" "was closed with 1002, 1003, 1007 or 1010, or broke RFC 6455",
    PolicyClose "W603" "policy-close" "was closed with 1008, 3000-3999 or 4000-4999",
    Undecided "W901" "undecided" "dropped, and the evidence does not carry a cause",
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Clean,
    Open,
    FailedHandshake,
    Drop,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Open => "open",
            Self::FailedHandshake => "failed-handshake",
            Self::Drop => "drop",
        }
    }
}

/// What the evidence can carry, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    Undecided,
    Possible,
    Likely,
    Certain,
}

impl Tier {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// Weight of one evidence line: 1, 2, 4, 8 bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    Weak,
    Moderate,
    Strong,
    Decisive,
}

impl Strength {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Moderate => "moderate",
            Self::Strong => "strong",
            Self::Decisive => "decisive",
        }
    }
    pub const fn bits(self) -> i32 {
        match self {
            Self::Weak => 1,
            Self::Moderate => 2,
            Self::Strong => 4,
            Self::Decisive => 8,
        }
    }
}

/// One line of a verdict's ground.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub say: Word,
    /// True = speaks for the cause, false = against it.
    pub supports: bool,
    pub strength: Strength,
    pub record: Option<RecordRef>,
    pub at: Option<Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RivalVerdict {
    RuledOut,
    Weaker,
    Untestable,
}

impl RivalVerdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::RuledOut => "ruled-out",
            Self::Weaker => "weaker",
            Self::Untestable => "untestable",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    pub cause: Cause,
    pub verdict: RivalVerdict,
    pub why: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untestable {
    pub cause: Cause,
    pub needs: Word,
}

/// Three-valued truth: what the evidence shows, refutes, or cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    Shown,
    Refuted,
    Unobserved,
}

/// One evidence line of one rule, as it came out for one connection: the row of the Why view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    pub cause: Cause,
    pub fact: Cow<'static, str>,
    /// What the rule wants: `= a known time-out, within 500 ms`.
    pub wanted: Word,
    /// What was seen: `60.000 s`; `not observed` where nothing could show it.
    pub seen: Word,
    pub truth: Truth,
    pub required: bool,
    /// How far off, in the fact's unit; `None` where there is no distance.
    pub distance: Option<Word>,
    pub records: Arc<[RecordRef]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub outcome: Outcome,
    /// `None` for clean and open connections.
    pub cause: Option<Cause>,
    pub tier: Tier,
    /// One sentence: the answer.
    pub sentence: String,
    pub contributing: Vec<String>,
    /// The time-out inferred, nanoseconds.
    pub timeout_ns: Option<i64>,
    /// Where that value is set: `nginx.conf:31 proxy_read_timeout`.
    pub timeout_from: Option<Word>,
    pub evidence: Vec<Evidence>,
    pub rivals: Vec<Rival>,
    pub untestable: Vec<Untestable>,
    pub fix: Vec<Word>,
    /// The rule's tests and those of the rules that came close, for the Why view. What comes out the same for many connections is one.
    pub tests: Vec<Arc<Test>>,
    /// The rule of the user's own that speaks here, and its file: `U410 (rules/token-expired.toml)`.
    #[serde(default)]
    pub own_rule: Option<String>,
}

impl Verdict {
    /// Drops what a report of this connection alone tells: what stands over many connections asks for none of it.
    pub fn forget_grounds(&mut self) {
        self.evidence = Vec::new();
        self.rivals = Vec::new();
        self.untestable = Vec::new();
        self.tests = Vec::new();
    }
}

/// A connection and what was found about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    pub connection: Connection,
    pub verdict: Verdict,
}

/// Something found over many connections, or about the case, that is no single drop (W703, W801-W805).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub code: String,
    pub kind: String,
    pub say: String,
    pub hop: Option<String>,
    pub timeout_ns: Option<i64>,
    pub connections: Vec<ConnectionId>,
    pub records: Vec<RecordRef>,
    pub fix: Vec<Word>,
}

/// `2 stalled in silence`: what users felt although nothing dropped (W801); empty where there is no such finding.
pub fn stalled(findings: &[Finding]) -> String {
    let stalled: usize = findings
        .iter()
        .filter(|f| f.code == "W801")
        .map(|f| f.connections.len())
        .sum();
    match stalled {
        0 => String::new(),
        n => format!("{n} stalled in silence"),
    }
}

/// A happening of many connections (W701, W702).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub code: String,
    pub kind: String,
    pub start: Stamp,
    pub end: Stamp,
    pub connections: Vec<ConnectionId>,
    pub say: String,
    pub fix: Vec<Word>,
}

/// What a process on the path did, as far as a view of the whole case must tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessDid {
    Start,
    Reload,
    /// A wanted stop: SIGTERM, draining, an upstream taken out.
    Stop,
    Crash,
    /// Descriptors, worker connections, memory, threads.
    Exhausted,
}

impl ProcessDid {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Stop => "stop",
            Self::Crash => "crash",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A moment in the life of a process, from the first of `lines` log lines that tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// In reference time.
    pub at: Stamp,
    pub did: ProcessDid,
    /// `nginx: reload`, `server: SIGTERM received`; text from input may be in it.
    pub say: String,
    pub record: RecordRef,
    pub lines: u32,
}

/// All that the stages found: the immutable snapshot that reports and views read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// What the user pointed at.
    pub root: String,
    /// `builtin`, or `builtin + rules/my.toml`.
    pub rules: String,
    pub window: Option<(Stamp, Stamp)>,
    pub sources: Vec<Source>,
    /// In order of `sort_at`, ties by id.
    pub connections: Vec<Judged>,
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
    /// Starts, stops, reloads and crashes of the programs on the path, in order of time.
    pub marks: Vec<ProcessMark>,
    /// What the user's own overrides changed.
    pub adapted: super::adapted::Adapted,
}

/// How many connections of which outcome and cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub connections: usize,
    pub drops: usize,
    pub clean: usize,
    /// Of the clean ones, those that ended in a way which no source tells.
    pub untold: usize,
    pub open: usize,
    pub failed_handshakes: usize,
    /// Drops and failed handshakes by cause, most frequent first, ties by code.
    pub by_cause: Vec<(Cause, usize)>,
}

impl Verdict {
    /// It ended, and no source tells how: it counts as clean for want of any sign that it was not.
    pub fn is_untold(&self) -> bool {
        self.outcome == Outcome::Clean && self.tier == Tier::Undecided
    }
}

impl Summary {
    /// That nothing dropped, as far as that is known.
    pub const fn no_drop(&self) -> &'static str {
        if self.untold > 0 {
            "none known to have dropped"
        } else {
            "none dropped"
        }
    }

    /// What became of those that did not drop, in a few words; empty where all did.
    pub fn others(&self) -> String {
        let all = [
            (self.clean - self.untold, "closed as wanted"),
            (self.untold, "ended, and no source tells how"),
            (self.open, "still open when the evidence ends"),
        ];
        let told = all.iter().filter(|(n, _)| *n > 0);
        let said: Vec<String> = told.map(|(n, what)| format!("{n} {what}")).collect();
        said.join(if self.untold > 0 { "; " } else { ", " })
    }
}

impl Analysis {
    /// Nearly all of these are refused tries of a reconnect storm: what set it off is the story, and not they.
    pub fn is_of_a_storm<'a>(&self, members: impl Iterator<Item = &'a Judged>) -> bool {
        let storms = || self.incidents.iter().filter(|i| i.code == "W701");
        if storms().next().is_none() {
            return false;
        }
        let tries: std::collections::HashSet<&ConnectionId> =
            storms().flat_map(|i| &i.connections).collect();
        let (mut all, mut of_it) = (0_usize, 0_usize);
        for judged in members {
            all += 1;
            let refused = judged.verdict.outcome == Outcome::FailedHandshake;
            of_it += usize::from(refused && tries.contains(&judged.connection.id));
        }
        all > 0 && of_it * 5 >= all * 4
    }

    pub fn summary(&self) -> Summary {
        let mut s = Summary {
            connections: self.connections.len(),
            ..Summary::default()
        };
        let mut counts = std::collections::BTreeMap::new();
        for Judged { verdict, .. } in &self.connections {
            match verdict.outcome {
                Outcome::Drop => s.drops += 1,
                Outcome::Clean => {
                    s.clean += 1;
                    s.untold += usize::from(verdict.is_untold());
                }
                Outcome::Open => s.open += 1,
                Outcome::FailedHandshake => s.failed_handshakes += 1,
            }
            if let Some(cause) = verdict.cause {
                *counts.entry(cause).or_insert(0) += 1;
            }
        }
        s.by_cause = counts.into_iter().collect();
        s.by_cause
            .sort_by_key(|&(cause, n)| (std::cmp::Reverse(n), cause));
        s
    }

    pub fn source(&self, id: super::source::SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// Keeps the connections that `keep` holds for, and of findings and incidents what speaks of one of them, or of none.
    pub fn retain(&mut self, keep: impl Fn(&Judged, &Self) -> bool) {
        let kept: std::collections::BTreeSet<ConnectionId> = self
            .connections
            .iter()
            .filter(|j| keep(j, self))
            .map(|j| j.connection.id.clone())
            .collect();
        self.connections.retain(|j| kept.contains(&j.connection.id));
        let narrow = |ids: &mut Vec<ConnectionId>| {
            let had = !ids.is_empty();
            ids.retain(|id| kept.contains(id));
            !(had && ids.is_empty())
        };
        self.findings.retain_mut(|f| narrow(&mut f.connections));
        self.incidents.retain_mut(|i| narrow(&mut i.connections));
    }

    pub fn find(&self, id: &str) -> Option<&Judged> {
        self.connections.iter().find(|j| j.connection.id == id)
    }
}
