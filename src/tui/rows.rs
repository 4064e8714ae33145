//! Connections -> the groups and rows of the Drops screen; a row is made when it is asked for, never before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::model::{Analysis, Cause, Filter, Judged, Outcome, Tier};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    Cause,
    Net,
    Path,
    Hop,
    Code,
    None,
}

impl Grouping {
    pub const fn next(self) -> Self {
        match self {
            Self::Cause => Self::Net,
            Self::Net => Self::Path,
            Self::Path => Self::Hop,
            Self::Hop => Self::Code,
            Self::Code => Self::None,
            Self::None => Self::Cause,
        }
    }
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Net => "client net",
            Self::Path => "path",
            Self::Hop => "hop",
            Self::Code => "code",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Count,
    Name,
    Closer,
    Lived,
    Silent,
    Time,
}

impl Sort {
    pub const fn next(self) -> Self {
        match self {
            Self::Count => Self::Name,
            Self::Name => Self::Closer,
            Self::Closer => Self::Lived,
            Self::Lived => Self::Silent,
            Self::Silent => Self::Time,
            Self::Time => Self::Count,
        }
    }
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "drops",
            Self::Name => "name",
            Self::Closer => "closed by",
            Self::Lived => "lived",
            Self::Silent => "silent",
            Self::Time => "time",
        }
    }
}

/// What holds a group together; also its identity when the list is built anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKey {
    Cause(Cause),
    Value(String),
    Code(Option<u16>),
    Outcome(Outcome),
    All,
    /// Index into `Analysis::incidents`, `Analysis::findings`.
    Incident(usize),
    Finding(usize),
}

#[derive(Debug, Clone)]
pub struct Group {
    pub key: GroupKey,
    /// Text from input may be in it.
    pub label: String,
    /// Indices into `Analysis::connections`, in the order shown.
    pub members: Vec<u32>,
    pub open: bool,
    /// Tries of a reconnect storm: what set it off comes before them.
    pub follows: bool,
    /// The most frequent one, and whether there are others.
    pub closer: (String, bool),
    /// Medians of those that have one.
    pub lived: Option<i64>,
    pub silent: Option<i64>,
    /// The strongest of its verdicts and how many reach it.
    pub tier: (Tier, usize),
    /// Its causes, or outcomes where nothing dropped, most frequent first.
    pub causes: Vec<(&'static str, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Group(usize),
    Connection {
        group: usize,
        member: usize,
        index: usize,
    },
}

/// The list as it stands: groups, and where each begins.
#[derive(Debug, Clone, Default)]
pub struct List {
    pub groups: Vec<Group>,
    starts: Vec<usize>,
    len: usize,
    /// Connections that pass the filter, clean ones counted only where they are shown.
    pub shown: usize,
    /// Clean and open ones that pass the filter and are not shown.
    pub hidden: usize,
    /// Of the drops shown, ascending, nanoseconds: silences before the close, moments of the close.
    pub silences: Vec<i64>,
    pub closes: Vec<i64>,
    /// Drops shown that had been open.
    pub stood: usize,
}

/// What the list is built from besides the analysis.
#[derive(Debug)]
pub struct Wish<'a> {
    pub filter: &'a Filter,
    pub grouping: Grouping,
    pub sort: Sort,
    pub reverse: bool,
    pub clean: bool,
}

impl List {
    pub fn build(analysis: &Analysis, wish: &Wish<'_>) -> Self {
        let mut list = Self::default();
        let mut members: BTreeMap<GroupKey, Vec<u32>> = BTreeMap::new();
        let mut passed = vec![false; analysis.connections.len()];
        for (index, judged) in analysis.connections.iter().enumerate() {
            if !wish.filter.matches(judged, analysis) {
                continue;
            }
            if let Some(p) = passed.get_mut(index) {
                *p = true;
            }
            let dropped = is_drop(judged);
            if !dropped && !wish.clean {
                list.hidden += 1;
                continue;
            }
            list.shown += 1;
            list.stood += usize::from(judged.verdict.outcome == Outcome::Drop);
            if dropped {
                list.closes.push(
                    judged
                        .connection
                        .closed
                        .map_or(judged.connection.sort_at, |s| s.at)
                        .0,
                );
                list.silences.extend(
                    judged
                        .connection
                        .silence_ns
                        .filter(|_| judged.verdict.outcome == Outcome::Drop),
                );
            }
            members
                .entry(key_of(judged, wish.grouping))
                .or_default()
                .push(u32::try_from(index).unwrap_or(u32::MAX));
        }
        list.closes.sort_unstable();
        list.silences.sort_unstable();
        list.groups = members
            .into_iter()
            .map(|(key, members)| Group::new(key, members, analysis, wish))
            .collect();
        sort_groups(&mut list.groups, wish);
        list.add_findings(analysis, wish, &passed);
        list.measure();
        list
    }

    fn add_findings(&mut self, analysis: &Analysis, wish: &Wish<'_>, passed: &[bool]) {
        if analysis.incidents.is_empty() && analysis.findings.is_empty() {
            return;
        }
        let index: HashMap<&str, usize> = analysis
            .connections
            .iter()
            .enumerate()
            .map(|(i, j)| (j.connection.id.as_str(), i))
            .collect();
        let mut add = |key: GroupKey, ids: &[String]| {
            let members: Vec<u32> = ids
                .iter()
                .filter_map(|id| index.get(id.as_str()).copied())
                .filter(|i| passed.get(*i).copied().unwrap_or(false))
                .filter_map(|i| u32::try_from(i).ok())
                .collect();
            if wish.filter.is_empty() || !members.is_empty() {
                self.groups.push(Group::new(key, members, analysis, wish));
            }
        };
        for (i, incident) in analysis.incidents.iter().enumerate() {
            add(GroupKey::Incident(i), &incident.connections);
        }
        for (i, finding) in analysis.findings.iter().enumerate() {
            add(GroupKey::Finding(i), &finding.connections);
        }
    }

    /// Counts the rows again after a group was opened or closed.
    pub fn measure(&mut self) {
        self.starts.clear();
        self.len = 0;
        for group in &self.groups {
            self.starts.push(self.len);
            self.len += 1 + if group.open { group.members.len() } else { 0 };
        }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn row(&self, at: usize) -> Option<Row> {
        if at >= self.len {
            return None;
        }
        let group = self.starts.partition_point(|s| *s <= at).checked_sub(1)?;
        let Some(member) = (at - self.starts.get(group)?).checked_sub(1) else {
            return Some(Row::Group(group));
        };
        let index = *self.groups.get(group)?.members.get(member)? as usize;
        Some(Row::Connection {
            group,
            member,
            index,
        })
    }

    /// The row of a group, or of one of its members; the group is opened for that.
    pub fn place(&mut self, group: usize, member: Option<usize>) -> usize {
        if member.is_some()
            && let Some(g) = self.groups.get_mut(group)
            && !g.open
        {
            g.open = true;
            self.measure();
        }
        self.starts.get(group).copied().unwrap_or_default() + member.map_or(0, |m| m + 1)
    }

    /// The connection after (or before) a place in the list, over the borders of groups that hold connections by themselves.
    pub fn step(
        &self,
        group: usize,
        member: Option<usize>,
        forward: bool,
    ) -> Option<(usize, usize)> {
        let members = self.groups.get(group)?.members.len();
        let within = match (member, forward) {
            (None, true) => Some(0),
            (None, false) => None,
            (Some(m), true) => m.checked_add(1),
            (Some(m), false) => m.checked_sub(1),
        };
        if let Some(m) = within.filter(|m| *m < members) {
            return Some((group, m));
        }
        let holds = |g: &usize| {
            self.groups
                .get(*g)
                .is_some_and(|g| !g.members.is_empty() && !g.is_finding())
        };
        if forward {
            (group + 1..self.groups.len()).find(holds).map(|g| (g, 0))
        } else {
            let g = (0..group).rev().find(holds)?;
            Some((g, self.groups.get(g)?.members.len().checked_sub(1)?))
        }
    }

    /// Opens the groups that were open in `old`, and finds the row that stood where `row` does there.
    /// `now` tells where a connection of the old list is to be found among those of this one.
    pub fn take_over(
        &mut self,
        old: &Self,
        row: usize,
        now: &dyn Fn(usize) -> Option<usize>,
    ) -> Option<usize> {
        let open: HashSet<&GroupKey> = old
            .groups
            .iter()
            .filter(|g| g.open)
            .map(|g| &g.key)
            .collect();
        for group in &mut self.groups {
            group.open = open.contains(&group.key);
        }
        self.measure();
        let (key, index) = match old.row(row)? {
            Row::Group(g) => (&old.groups.get(g)?.key, None),
            Row::Connection { group, index, .. } => (&old.groups.get(group)?.key, Some(index)),
        };
        let Some(index) = index.and_then(now) else {
            return self
                .groups
                .iter()
                .position(|g| g.key == *key)
                .map(|g| self.place(g, None));
        };
        let holds = |g: &Group| g.members.iter().position(|m| *m as usize == index);
        let same = self
            .groups
            .iter()
            .position(|g| g.key == *key && holds(g).is_some());
        let group = same.or_else(|| self.groups.iter().position(|g| holds(g).is_some()))?;
        let member = holds(self.groups.get(group)?);
        Some(self.place(group, member))
    }
}

/// Failed handshakes count: their users did not get what they wanted either.
pub fn is_drop(judged: &Judged) -> bool {
    matches!(
        judged.verdict.outcome,
        Outcome::Drop | Outcome::FailedHandshake
    )
}

/// How long it stood; a handshake that failed never did.
pub fn lived(judged: &Judged) -> Option<i64> {
    (judged.verdict.outcome != Outcome::FailedHandshake)
        .then(|| judged.connection.duration_ns())
        .flatten()
}

/// The silence before its close, where there was something to be silent on.
pub fn silent(judged: &Judged) -> Option<i64> {
    judged
        .connection
        .silence_ns
        .filter(|_| judged.verdict.outcome != Outcome::FailedHandshake)
}

/// Who closed it: the hop's own name where it is known.
pub fn closer(judged: &Judged) -> &str {
    let closer = &judged.connection.closer;
    closer.hop.as_deref().unwrap_or_else(|| closer.role.name())
}

pub fn client(judged: &Judged) -> String {
    let client = &judged.connection.client;
    match (client.ip, client.port, &client.identity) {
        (Some(ip), Some(port), _) => std::net::SocketAddr::new(ip, port).to_string(),
        (Some(ip), None, _) => ip.to_string(),
        (None, _, Some(identity)) => identity.clone(),
        (None, ..) => "client not seen".to_owned(),
    }
}

/// The code that tells most: from the wire first, then what a library reported.
pub fn code(judged: &Judged) -> Option<u16> {
    let close = &judged.connection.close;
    let wire = close
        .from_server
        .flatten()
        .or_else(|| close.from_client.flatten());
    wire.or(close.reported_client).or(close.reported_server)
}

fn key_of(judged: &Judged, grouping: Grouping) -> GroupKey {
    match grouping {
        Grouping::Cause => judged
            .verdict
            .cause
            .filter(|_| is_drop(judged))
            .map_or_else(
                || match judged.verdict.outcome {
                    o @ (Outcome::Clean | Outcome::Open) => GroupKey::Outcome(o),
                    _ => GroupKey::Cause(Cause::Undecided),
                },
                GroupKey::Cause,
            ),
        Grouping::Net => GroupKey::Value(
            judged
                .connection
                .client
                .ip
                .map_or_else(|| "none".to_owned(), net),
        ),
        Grouping::Path => {
            let uri = judged.connection.request.uri.as_deref().unwrap_or("none");
            GroupKey::Value(uri.split('?').next().unwrap_or(uri).to_owned())
        }
        Grouping::Hop => GroupKey::Value(closer(judged).to_owned()),
        Grouping::Code => GroupKey::Code(code(judged)),
        Grouping::None => GroupKey::All,
    }
}

/// The /24 or /64 that an address lies in.
pub fn net(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let bits = ip.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(bits))
        }
    }
}

impl Group {
    fn new(key: GroupKey, mut members: Vec<u32>, analysis: &Analysis, wish: &Wish<'_>) -> Self {
        let of = |i: &u32| analysis.connections.get(*i as usize);
        let label = match &key {
            GroupKey::Cause(c) => format!("{} {}", c.code(), c.id()),
            GroupKey::Value(v) => v.clone(),
            GroupKey::Code(Some(c)) => format!("code {c}"),
            GroupKey::Code(None) => "no code".to_owned(),
            GroupKey::Outcome(Outcome::Open) => "still open".to_owned(),
            GroupKey::Outcome(o) => o.name().to_owned(),
            GroupKey::All => if wish.clean {
                "all connections"
            } else {
                "all drops"
            }
            .to_owned(),
            GroupKey::Incident(i) => analysis
                .incidents
                .get(*i)
                .map_or_else(String::new, |i| format!("{} {}", i.code, i.kind)),
            GroupKey::Finding(i) => analysis
                .findings
                .get(*i)
                .map_or_else(String::new, |f| format!("{} {}", f.code, f.kind)),
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut tiers: BTreeMap<Tier, usize> = BTreeMap::new();
        let mut causes: BTreeMap<&'static str, usize> = BTreeMap::new();
        for judged in members.iter().filter_map(of) {
            *counts.entry(closer(judged)).or_default() += 1;
            *tiers.entry(judged.verdict.tier).or_default() += 1;
            let name = judged
                .verdict
                .cause
                .map_or_else(|| judged.verdict.outcome.name(), Cause::id);
            *causes.entry(name).or_default() += 1;
        }
        let most = counts
            .iter()
            .max_by_key(|(name, n)| (**n, std::cmp::Reverse(**name)));
        let closer_name = most.map_or_else(String::new, |(name, _)| (*name).to_owned());
        let lived = median(members.iter().filter_map(of).filter_map(lived).collect());
        let silent = median(members.iter().filter_map(of).filter_map(silent).collect());
        let tier = tiers
            .last_key_value()
            .map_or((Tier::Undecided, 0), |(t, n)| (*t, *n));
        let mixed = counts.len() > 1;
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), *name));
        let follows = matches!(key, GroupKey::Cause(_))
            && analysis.is_of_a_storm(members.iter().filter_map(of));
        sort_members(&mut members, analysis, wish);
        Self {
            key,
            label,
            members,
            open: false,
            follows,
            closer: (closer_name, mixed),
            lived,
            silent,
            tier,
            causes,
        }
    }

    /// An incident or a finding: its members are also in other groups.
    pub const fn is_finding(&self) -> bool {
        matches!(self.key, GroupKey::Incident(_) | GroupKey::Finding(_))
    }

    /// The filter that holds for its members and for no others, where the language has one.
    pub fn filter(&self, grouping: Grouping) -> Option<String> {
        use crate::model::filter::quoted;
        Some(match &self.key {
            GroupKey::Cause(c) => format!("cause:{}", c.id()),
            GroupKey::Outcome(o) => format!("how:{}", o.name()),
            GroupKey::Code(Some(c)) => format!("code:{c}"),
            GroupKey::Code(None) => "code:none".to_owned(),
            GroupKey::Value(v) => match grouping {
                Grouping::Net => format!("client:{v}"),
                Grouping::Path => format!("path:{}", quoted(v)),
                _ => format!("by:{}", quoted(v)),
            },
            GroupKey::All | GroupKey::Incident(_) | GroupKey::Finding(_) => return None,
        })
    }
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

fn sort_members(members: &mut [u32], analysis: &Analysis, wish: &Wish<'_>) {
    let of = |i: u32| analysis.connections.get(i as usize);
    match wish.sort {
        // The analysis itself is in order of time.
        Sort::Count | Sort::Time => members.sort_unstable(),
        Sort::Name => members.sort_by_cached_key(|i| (of(*i).map(client), *i)),
        Sort::Closer => members.sort_by_cached_key(|i| (of(*i).map(closer), *i)),
        Sort::Lived => members.sort_by_key(|i| (std::cmp::Reverse(of(*i).and_then(lived)), *i)),
        Sort::Silent => members.sort_by_key(|i| (std::cmp::Reverse(of(*i).and_then(silent)), *i)),
    }
    if wish.reverse {
        members.reverse();
    }
}

fn sort_groups(groups: &mut [Group], wish: &Wish<'_>) {
    use std::cmp::Reverse;
    match wish.sort {
        Sort::Count => groups.sort_by_key(|g| {
            (
                matches!(g.key, GroupKey::Outcome(_)),
                g.follows,
                Reverse(g.members.len()),
            )
        }),
        Sort::Name => groups.sort_by(|a, b| a.label.cmp(&b.label)),
        Sort::Closer => groups.sort_by(|a, b| a.closer.cmp(&b.closer)),
        Sort::Lived => groups.sort_by_key(|g| Reverse(g.lived)),
        Sort::Silent => groups.sort_by_key(|g| Reverse(g.silent)),
        Sort::Time => groups.sort_by_key(|g| g.members.iter().min().copied()),
    }
    if wish.reverse {
        groups.reverse();
    }
}
