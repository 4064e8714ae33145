//! Lines of machines on the path -> what is told of processes, limits and flows.

use super::*;

/// What a text tells: its format, its events in order, the kinds of what was noted.
fn told(
    text: &str,
) -> (
    &'static str,
    Vec<(String, AppEvent, Option<u32>)>,
    Vec<String>,
) {
    let choice = sniff(text.as_bytes(), None).expect("a format");
    let near = crate::text::stamp::iso(b"2026-11-20T20:00:00").map(|d| d.utc().at);
    let mut lines = Vec::new();
    let summary = read(
        SourceId(0),
        choice,
        HostOptions {
            assumed_zone: LocalZone::default(),
            near,
        },
        &mut text.as_bytes(),
        &mut |_| (),
        &mut |line| {
            if let Line::App(l) = line {
                lines.push((l.at.rfc3339(), l.what, l.pid));
            }
        },
    );
    assert_eq!(summary.odd, 0, "{text}: {:?}", summary.anomalies);
    let notes = summary.anomalies.into_iter().map(|a| a.kind).collect();
    (choice.name, lines, notes)
}

#[test]
fn each_sample_is_read_by_its_format_and_by_no_other() {
    for format in FORMATS {
        for sample in format.samples() {
            let takers: Vec<_> = FORMATS
                .iter()
                .filter(|other| {
                    let mut ignore = |_: Line| ();
                    let mut found = Found::new(
                        &mut ignore,
                        HostOptions {
                            assumed_zone: LocalZone::default(),
                            near: Some(Moment(0)),
                        },
                    );
                    let mut reader = other.open();
                    records::samples(sample.as_bytes()).iter().all(|s| {
                        reader.line(s.record, &s.line, &s.outer, &mut found) == Verdict::Used
                    })
                })
                .map(|f| f.name())
                .collect();
            assert_eq!(takers, [format.name()], "{sample}");
            assert!(
                !fields(
                    Choice {
                        name: format.name()
                    },
                    sample.as_bytes()
                )
                .is_empty()
            );
        }
    }
}

#[test]
fn logs_of_programs_are_not_the_hosts() {
    for text in [
        r#"192.0.2.17 - - [20/Nov/2026:20:48:04 +0000] "GET /echo HTTP/1.1" 101 12 "-" "x""#,
        r#"{"level":30,"time":1795209513790,"pid":27065,"msg":"ws close"}"#,
        "Nov 20 21:42:53 lb1 haproxy[3015]: Server a/b is DOWN, reason: x",
        "2026-11-20 21:43:56,005 INFO websockets.server connection closed",
        "2026/11/20 20:49:26 [notice] 11064#11064: signal 1 (SIGHUP) received",
        "",
    ] {
        assert_eq!(sniff(text.as_bytes(), None).map(|c| c.name), None, "{text}");
    }
}

/// What a text tells of flows: the event, and from whom to whom.
fn flows(text: &str) -> (&'static str, Vec<(crate::model::HopEvent, String, String)>) {
    let choice = sniff(text.as_bytes(), None).expect("a format");
    let near = crate::text::stamp::iso(b"2026-11-20T20:00:00").map(|d| d.utc().at);
    let options = HostOptions {
        assumed_zone: LocalZone::default(),
        near,
    };
    let mut lines = Vec::new();
    let mut input = text.as_bytes();
    read(
        SourceId(0),
        choice,
        options,
        &mut input,
        &mut |_| (),
        &mut |line| {
            if let Line::Hop(h) = line {
                let from = h.client.zip(h.client_port).expect("an end");
                let to = h.upstream.expect("the other end");
                lines.push((h.what, format!("{}:{}", from.0, from.1), to.to_string()));
                let at = h.at.rfc3339();
                assert!(at.starts_with("2026-11-20T20:48:"), "{text}: {at}");
            }
        },
    );
    (choice.name, lines)
}

#[test]
fn what_middleboxes_say_of_flows() {
    use crate::model::HopEvent::{FlowForgotten, FlowOver, FlowUnknown};
    let check = |text: &str, name: &str, want: &[(crate::model::HopEvent, &str, &str)]| {
        let (format, got) = flows(text);
        assert_eq!(format, name, "{text}");
        let got: Vec<_> = got
            .iter()
            .map(|(what, a, b)| (*what, a.as_str(), b.as_str()))
            .collect();
        assert_eq!(got, want, "{text}");
    };
    let (client, server) = ("192.0.2.17:40112", "198.51.100.4:443");
    const ENDS: &str = "src=192.0.2.17 dst=198.51.100.4 sport=40112 dport=443";
    const BACK: &str = "src=198.51.100.4 dst=192.0.2.17 sport=443 dport=40112";
    let at = "[1795207689.123456]\t";
    // The kernel names the last state, or the changes before do.
    check(
        &format!("{at}[DESTROY] tcp      6 ESTABLISHED {ENDS} {BACK} [ASSURED]"),
        "conntrack",
        &[(FlowForgotten, client, server)],
    );
    check(
        &format!("{at}[DESTROY] tcp      6 TIME_WAIT {ENDS} {BACK} [ASSURED]"),
        "conntrack",
        &[(FlowOver, client, server)],
    );
    check(
        &format!(
            "{at} [UPDATE] tcp      6 432000 ESTABLISHED {ENDS} {BACK} [ASSURED]\n{at}[DESTROY] tcp      6 {ENDS} {BACK} [ASSURED]"
        ),
        "conntrack",
        &[(FlowForgotten, client, server)],
    );
    check(
        &format!(
            "{at} [UPDATE] tcp      6 120 FIN_WAIT {ENDS} {BACK} [ASSURED]\n{at}[DESTROY] tcp      6 {ENDS} {BACK} [ASSURED]"
        ),
        "conntrack",
        &[(FlowOver, client, server)],
    );
    // Nothing tells the state; a listing tells no change; other protocols are none of ours.
    check(
        &format!("{at}[DESTROY] tcp      6 {ENDS} {BACK}"),
        "conntrack",
        &[],
    );
    check(
        &format!("tcp      6 431999 ESTABLISHED {ENDS} {BACK} [ASSURED]"),
        "conntrack",
        &[],
    );
    check(
        &format!("{at}[DESTROY] udp      17 {ENDS} {BACK}"),
        "conntrack",
        &[],
    );
    // Behind address translation both faces are told.
    check(
        &format!(
            "{at}[DESTROY] tcp      6 ESTABLISHED src=10.0.0.5 dst=198.51.100.4 sport=5022 dport=443 src=198.51.100.4 dst=203.0.113.8 sport=443 dport=61022 [ASSURED]"
        ),
        "conntrack",
        &[
            (FlowForgotten, "10.0.0.5:5022", server),
            (FlowForgotten, "203.0.113.8:61022", server),
        ],
    );
    let vpc = |flags: &str, action: &str| {
        let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags";
        format!(
            "{header}\n2 123456789012 eni-0a1b 192.0.2.17 198.51.100.4 40112 443 6 3 156 1795207680 1795207689 {action} OK {flags}"
        )
    };
    check(
        &vpc("0", "REJECT"),
        "vpc-flow-log",
        &[(FlowUnknown, client, server)],
    );
    for (flags, action) in [("2", "REJECT"), ("1", "REJECT"), ("0", "ACCEPT")] {
        check(&vpc(flags, action), "vpc-flow-log", &[]);
    }
    for (flags, unknown) in [
        ("PA", true),
        ("A", true),
        ("S", false),
        ("FA", false),
        ("R", false),
    ] {
        let want = [(FlowUnknown, client, server)];
        let want = if unknown { &want[..] } else { &[] };
        check(
            &format!(
                "Nov 20 20:48:09 fw1 filterlog[3012]: 4,,,1000000103,igb1,match,block,in,4,0x0,,63,41233,0,DF,6,tcp,58,192.0.2.17,198.51.100.4,40112,443,6,{flags},100,200,501,,nop"
            ),
            "pf-filterlog",
            want,
        );
        let letters = match flags {
            "PA" => "ACK PSH",
            "A" => "ACK",
            "S" => "SYN",
            "FA" => "ACK FIN",
            _ => "RST",
        };
        for (prefix, dropped) in [("[UFW BLOCK] ", true), ("seen: ", false)] {
            check(
                &format!(
                    "Nov 20 20:48:09 gw1 kernel: [ 3761.293790] {prefix}IN=eth0 OUT=eth1 SRC=192.0.2.17 DST=198.51.100.4 LEN=58 TTL=63 PROTO=TCP SPT=40112 DPT=443 WINDOW=501 RES=0x00 {letters} URGP=0"
                ),
                "host-journal",
                if dropped { want } else { &[] },
            );
        }
    }
    for (state, want) in [
        ("invalid", &[(FlowUnknown, client, server)][..]),
        ("established", &[]),
    ] {
        check(
            &format!(
                "Nov 20 20:48:09 gw1 firewall,info forward: in:bridge out:ether1, connection-state:{state} src-mac 02:00:5e:10:00:01, proto TCP (ACK,PSH), 192.0.2.17:40112->198.51.100.4:443, len 58"
            ),
            "routeros-firewall",
            want,
        );
    }
    for (said, want) in [
        (
            "%ASA-6-302014: Teardown TCP connection 71 for outside:192.0.2.17/40112 to inside:198.51.100.4/443 duration 1:00:02 bytes 5120 Connection timeout",
            &[(FlowForgotten, client, server)][..],
        ),
        (
            "%ASA-6-302014: Teardown TCP connection 71 for outside:192.0.2.17/40112 to inside:198.51.100.4/443 duration 0:00:02 bytes 5120 TCP FINs",
            &[(FlowOver, client, server)],
        ),
        (
            "%ASA-6-106015: Deny TCP (no connection) from 192.0.2.17/40112 to 198.51.100.4/443 flags PSH ACK on interface outside",
            &[(FlowUnknown, client, server)],
        ),
        (
            "%ASA-6-106015: Deny TCP (no connection) from 192.0.2.17/40112 to 198.51.100.4/443 flags FIN ACK on interface outside",
            &[],
        ),
    ] {
        for form in ["fw1", "fw1 :"] {
            check(&format!("Nov 20 20:48:09 {form} {said}"), "cisco-asa", want);
        }
    }
}

#[test]
fn what_befell_processes() {
    enum Want {
        Nothing,
        Crashed(Option<u32>),
        Exhausted,
        Stopping,
        Listening,
    }
    use Want as W;
    let check = |text: &str, name: &str, want: &Want| {
        let (format, lines, _) = told(text);
        assert_eq!(format, name, "{text}");
        let got = lines.first();
        let fits = match (want, got) {
            (W::Nothing, None) => true,
            (W::Crashed(pid), Some((_, AppEvent::Crashed { .. }, got))) => pid == got,
            (W::Exhausted, Some((_, AppEvent::Exhausted { .. }, _)))
            | (W::Stopping, Some((_, AppEvent::Stopping, _)))
            | (W::Listening, Some((_, AppEvent::Listening { .. }, _))) => true,
            _ => false,
        };
        assert!(fits, "{text}: {got:?}");
        if let Some((at, ..)) = got {
            assert!(at.starts_with("2026-11-20T20:48:09"), "{text}: {at}");
        }
    };
    const SYSLOG: &str = "Nov 20 20:48:09 app1 ";
    for (message, want) in [
        (
            "kernel: [ 3761.293790] node invoked oom-killer: gfp_mask=0xcc0, order=0, oom_score_adj=0",
            W::Nothing,
        ),
        (
            "kernel: [ 3761.293790] Memory cgroup out of memory: Killed process 23793 (node) total-vm:2623712kB, anon-rss:506500kB",
            W::Crashed(Some(23_793)),
        ),
        (
            "kernel: Out of memory: Killed process 811 (java) total-vm:1kB",
            W::Crashed(Some(811)),
        ),
        (
            "kernel: Out of memory: Kill process 811 (java) score 900 or sacrifice child",
            W::Nothing,
        ),
        (
            "kernel: node[1234]: segfault at 0 ip 00007f sp 00007f error 4 in node[400000+1000]",
            W::Crashed(Some(1234)),
        ),
        (
            "kernel: nf_conntrack: nf_conntrack: table full, dropping packet",
            W::Exhausted,
        ),
        (
            "kernel: TCP: out of memory -- consider tuning tcp_mem",
            W::Exhausted,
        ),
        (
            "kernel: TCP: request_sock_TCP: Possible SYN flooding on port 8080. Sending cookies.  Check SNMP counters.",
            W::Exhausted,
        ),
        ("kernel: VFS: file-max limit 65536 reached", W::Exhausted),
        ("kernel: eth0: Link is Down", W::Nothing),
        (
            "systemd[1]: app.service: Main process exited, code=killed, status=9/KILL",
            W::Crashed(None),
        ),
        (
            "systemd[1]: app.service: Main process exited, code=exited, status=1/FAILURE",
            W::Crashed(None),
        ),
        (
            "systemd[1]: app.service: Main process exited, code=exited, status=143/n/a",
            W::Nothing,
        ),
        (
            "systemd[1]: app.service: Main process exited, code=killed, status=15/TERM",
            W::Nothing,
        ),
        (
            "systemd[1]: app.service: A process of this unit has been killed by the OOM killer.",
            W::Crashed(None),
        ),
        (
            "systemd[1]: app.service: Killing process 4711 (node) with signal SIGKILL.",
            W::Crashed(Some(4711)),
        ),
        ("systemd[1]: Stopping app.service - Chat...", W::Stopping),
        ("systemd[1]: Started app.service - Chat.", W::Listening),
        ("systemd[1]: Started Session 7 of User root.", W::Nothing),
        (
            "sshd[99]: Connection closed by 192.0.2.1 port 5555 [preauth]",
            W::Nothing,
        ),
    ] {
        check(&format!("{SYSLOG}{message}"), "host-journal", &want);
    }
    check(
        "[Fri Nov 20 20:48:09 2026] Out of memory: Killed process 811 (java) total-vm:1kB",
        "host-journal",
        &W::Crashed(Some(811)),
    );
    check(
        r#"{"__REALTIME_TIMESTAMP":"1795207689123456","_HOSTNAME":"app1","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"Out of memory: Killed process 811 (java) total-vm:1kB"}"#,
        "host-journal",
        &W::Crashed(Some(811)),
    );
    for (message, want) in [
        (
            "App [api:0] exited with code [1] via signal [SIGINT]",
            W::Crashed(None),
        ),
        (
            "App [api:0] exited with code [0] via signal [SIGKILL]",
            W::Crashed(None),
        ),
        (
            "App [api:0] exited with code [0] via signal [SIGINT]",
            W::Nothing,
        ),
        ("App [api:0] online", W::Listening),
        ("Stopping app:api id:0", W::Stopping),
        (
            "[PM2][WARN] Process 0 restarted because it exceeds --max-memory-restart value (current_memory=9 max_memory_limit=8 [octets])",
            W::Exhausted,
        ),
    ] {
        check(
            &format!("2026-11-20T20:48:09: PM2 log: {message}"),
            "pm2",
            &want,
        );
    }
    for (reason, message, want) in [
        (
            "OOMKilling",
            "Memory cgroup out of memory: Killed process 811 (java)",
            W::Crashed(Some(811)),
        ),
        ("Killing", "Stopping container app", W::Stopping),
        (
            "BackOff",
            "Back-off restarting failed container app in pod chat-0",
            W::Crashed(None),
        ),
        ("BackOff", "Back-off pulling image \\\"x\\\"", W::Nothing),
        ("Started", "Started container app", W::Listening),
        ("Scheduled", "Successfully assigned", W::Nothing),
    ] {
        let event = format!(
            r#"{{"involvedObject":{{"kind":"Pod","name":"chat-0"}},"lastTimestamp":"2026-11-20T20:48:09Z","reason":"{reason}","message":"{message}","type":"Warning"}}"#
        );
        check(&event, "kube-events", &want);
        let list = format!(
            "{{\n \"apiVersion\": \"v1\",\n \"items\": [ {event} ],\n \"kind\": \"List\"\n}}\n"
        );
        check(&list, "kube-events", &want);
        let row = format!("2026-11-20T20:48:09Z   Warning   {reason}   pod/chat-0   {message}");
        check(&row, "kube-events", &want);
    }
}

#[test]
fn what_only_a_count_tells() {
    let check = |text: &str, name: &str, want: &[&str]| {
        let (format, lines, notes) = told(text);
        assert_eq!(
            (format, notes.as_slice()),
            (
                name,
                want.iter()
                    .map(|k| (*k).to_owned())
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            "{text}"
        );
        assert!(lines.is_empty());
    };
    check(
        "[ 3761.293790] Out of memory: Killed process 811 (java) total-vm:1kB",
        "host-journal",
        &["since-boot"],
    );
    check(
        "LAST SEEN   TYPE      REASON   OBJECT       MESSAGE\n2m10s       Warning   BackOff  pod/chat-0   Back-off restarting failed container\n",
        "kube-events",
        &["relative-time"],
    );
    let ss = "State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n\
        LISTEN 129 128 0.0.0.0:8080 0.0.0.0:* users:((\"python3\",pid=26458,fd=6))\n\
        CLOSE-WAIT 1 0 192.0.2.2:18030 192.0.2.1:34400 users:((\"python3\",pid=26458,fd=8))\n\
        ESTAB 0 3782144 192.0.2.2:18030 192.0.2.1:34434 users:((\"python3\",pid=26458,fd=12)) timer:(persist,,1)\n\
        ESTAB 0 18 192.0.2.2:18080 192.0.2.1:58770 users:((\"nginx\",pid=5463,fd=19)) timer:(on,252ms,2)\n\
        ESTAB 0 0 192.0.2.2:18080 192.0.2.1:58771 timer:(keepalive,58sec,0)\n";
    check(
        ss,
        "ss",
        &[
            "accept-queue-full",
            "close-wait",
            "zero-window",
            "retransmitting",
        ],
    );
    check(
        "Total: 200\nTCP:   136 (estab 8, closed 122, orphaned 18, timewait 2)\n\nTransport Total     IP        IPv6\nTCP       14        12        2\n",
        "ss",
        &["orphaned"],
    );
    check(
        "# TYPE process_open_fds gauge\nprocess_open_fds 1020\nprocess_max_fds 1024\nnode_nf_conntrack_entries 10\nnode_nf_conntrack_entries_limit 262144\nnodejs_eventloop_lag_seconds{app=\"chat {1}\"} 2.5\nup NaN\n",
        "prometheus",
        &["event-loop-lag", "descriptors-nearly-out"],
    );
    check(
        "nginx_connections_accepted{i=\"a\"} 120\nnginx_connections_handled{i=\"a\"} 110\nnginx_connections_accepted{i=\"b\"} 7\nnginx_connections_handled{i=\"b\"} 7\nhaproxy_frontend_current_sessions{proxy=\"f\"} 1900\nhaproxy_frontend_limit_sessions{proxy=\"f\"} 2000\n",
        "prometheus",
        &["connections-nearly-out", "connections-dropped"],
    );
    check(
        "Nov 20 20:48:09 app1 kernel: eth0: Link is Down\nNov 20 20:48:10 app1 node[7]: socket closed\n",
        "host-journal",
        &["other-program"],
    );
}
