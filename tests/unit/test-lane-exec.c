/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engine exec: filesystems by themselves, their guards, and which engine a period has. */
#include "lane-script.h"

#include "test-service.h"

#define EXEC "Engine=exec"
#define BARE "Engine=exec FreezeGuard=no"

#define ROOT "R|/|ext4|vda A|/a|ext4|vdb"
#define VAR "V|/var|xfs|vda A|/a|ext4|vdb"
#define BELOW_VAR "L|/var/lib/db|ext4|vda A|/a|ext4|vdb"
#define BESIDE_VAR "X|/variety|ext4|vda A|/a|ext4|vdb"

static const Script scripts[] = {
  /* the three sequences */
  { "interleaved", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "freeze b vdb -> map exec-freeze(B) {A B} +2 b=2",
      "thaw 1 -> 1:thawing exec-thaw(A) {B} -1:thawed thaw1=ok",
      "thaw 2 -> 2:thawing exec-thaw(B) <thawing> {} <thawed> -2:thawed thaw2=ok" } },
  { "nested", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "freeze b vdb -> map exec-freeze(B) {A B} +2 b=2",
      "thaw 2 -> 2:thawing exec-thaw(B) {A} -2:thawed thaw2=ok",
      "thaw 1 -> 1:thawing exec-thaw(A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "overlapping", FAKE_AGENT, NULL, BARE,
    { "freeze a vda vdb -> map exec-freeze(A,B,E) <freezing> {A B} <frozen> +1 a=1",
      "freeze b vda -> map exec-freeze(E) +2 b=2",
      "thaw 1 -> 1:thawing exec-thaw(B) {A} exec-verify(A) -1:thawed thaw1=ok",
      "thaw 2 -> 2:thawing exec-thaw(A) <thawing> {} <thawed> -2:thawed thaw2=ok" } },

  /* one engine a period */
  { "engine/root", FAKE_AGENT, ROOT, EXEC,
    { "freeze a vda -> map freeze(/) <freezing> {R} <frozen> +1 a=1",
      "freeze b vdb -> b=Conflict",
      "thaw 1 -> 1:thawing thaw <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "engine/var", FAKE_AGENT, VAR, EXEC,
    { "freeze a vda -> map freeze(/var) <freezing> {V} <frozen> +1 a=1",
      "thaw 1 -> 1:thawing thaw <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "engine/below-var", FAKE_AGENT, BELOW_VAR, EXEC,
    { "freeze a vda -> map freeze(/var/lib/db) <freezing> {L} <frozen> +1 a=1",
      "thaw 1 -> 1:thawing thaw <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "engine/beside-var", FAKE_AGENT, BESIDE_VAR, BARE,
    { "freeze a vda -> map exec-freeze(X) <freezing> {X} <frozen> +1 a=1",
      "thaw 1 -> 1:thawing exec-thaw(X) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "engine/everything", FAKE_AGENT, NULL, EXEC,
    { "freeze a -> map freeze <freezing> {A B} <frozen> +1 a=1",
      "freeze b vda -> +2 b=2",
      "thaw 1 -> 1:thawing thaw(/b) map -1:thawed thaw1=ok",
      "thaw 2 -> 2:thawing thaw <thawing> {} <thawed> -2:thawed thaw2=ok" } },
  { "engine/scope-domain", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda scope=domain -> map freeze <freezing> {A B} <frozen> +1 a=1",
      "thaw 1 -> 1:thawing thaw <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "engine/conflict", FAKE_AGENT, ROOT, BARE,
    { "freeze a vdb -> map exec-freeze(A) <freezing> {A} <frozen> +1 a=1",
      "freeze b vda -> map b=Conflict",
      "freeze c -> map c=Conflict",
      "freeze d vdb scope=domain -> map d=Conflict",
      "thaw 1 -> 1:thawing exec-thaw(A) <thawing> {} <thawed> -1:thawed thaw1=ok",
      "freeze e vda -> map freeze(/) <freezing> {R} <frozen> +2 e=2",
      "freeze f vdb -> f=Conflict",
      "thaw 2 -> 2:thawing thaw <thawing> {} <thawed> -2:thawed thaw2=ok" } },
  { "engine/configured-anew", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "configure Engine=agent",
      "freeze b vdb scope=disks -> map exec-freeze(B+B:60s) {A B} +2 b=2",
      "freeze c -> map c=Conflict",
      "thaw 1 -> 1:thawing exec-thaw(A) {B} -1:thawed thaw1=ok",
      "thaw 2 -> 2:thawing exec-thaw(B+B) <thawing> {} <thawed> -2:thawed thaw2=ok",
      "freeze d -> map freeze <freezing> {A B} <frozen> +3 d=3",
      "thaw 3 -> 3:thawing thaw <thawing> {} <thawed> -3:thawed thaw3=ok" } },

  /* what goes wrong */
  { "elsewhere/one-of-two", FAKE_AGENT, NULL, EXEC,
    { "outside freeze B",
      "freeze a vda vdb -> map exec-freeze(A,B,E+A:60s,B:60s,E:60s) <freezing> {A B} "
        "exec-thaw(A+A) <in-doubt> {B} a=FrozenElsewhere <thawed> exec-thaw(+B,E)",
      "guards -> []",
      "outside thaw B" } },
  { "elsewhere/the-agent", FAKE_AGENT, NULL, EXEC,
    { "outside freeze -> {A B}",
      "freeze a vda -> map probe a=FrozenElsewhere",
      "outside thaw -> {}" } },
  { "elsewhere/the-agent-in-a-period", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "mute",
      "freeze b vdb -> map probe b=FrozenElsewhere" } },
  { "thawed-outside/seen-at-the-thaw", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "outside thaw A",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> <thawed> 1:lost:thawed-outside -1:lost "
        "thaw1=ConsistencyLost",
      "guards -> []" } },
  { "thawed-outside/one-of-two", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "freeze b vdb -> map exec-freeze(B) {A B} +2 b=2",
      "outside thaw A",
      "after 5s -> exec-verify(A,B) 1:lost:thawed-outside",
      "thaw 2 -> 2:thawing exec-thaw(B) <thawing> {} <thawed> -2:thawed thaw2=ok",
      "thaw 1 -> -1:lost thaw1=ConsistencyLost" } },
  { "thawed-outside/under-two", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "freeze b vda -> map exec-freeze(E) +2 b=2",
      "outside thaw A",
      "thaw 1 -> 1:thawing exec-verify(A) 2:lost:thawed-outside 1:lost:thawed-outside "
        "-1:lost thaw1=ConsistencyLost <thawed>",
      "thaw 2 -> -2:lost thaw2=ConsistencyLost" } },
  { "verified", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "after 5s -> exec-verify(A)",
      "after 5s -> exec-verify(A)",
      "thaw 1 -> 1:thawing exec-thaw(A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "verified/no-answer", FAKE_AGENT, NULL, BARE,
    { "freeze a vda -> map exec-freeze(A,E) <freezing> {A} <frozen> +1 a=1",
      "fault exec-verify silence",
      "after 5s -> exec-verify(A)",
      "after 5s -> exec-verify(A)",
      "thaw 1 -> 1:thawing exec-thaw(A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "freeze/refused", FAKE_AGENT, NULL, EXEC,
    { "fault exec-freeze refused",
      "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> a=AgentFailed <thawed>",
      "guards -> []" } },
  { "freeze/refused-in-a-period", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "fault exec-freeze refused",
      "freeze b vdb -> map exec-freeze(B+B:60s) b=AgentFailed",
      "guards -> [A:60]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "freeze/in-doubt", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "fault exec-freeze timeout-done",
      "freeze b vdb -> map exec-freeze(B+B:60s) {A B} exec-thaw(B+B) <in-doubt> {A} "
        "b=AgentUnavailable <frozen>",
      "guards -> [A:60]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "freeze/in-doubt-and-the-thaw-fails", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "fault exec-freeze timeout-done",
      "fault exec-thaw refused",
      "freeze b vdb -> map exec-freeze(B+B:60s) {A B} exec-thaw(B+B) <in-doubt> "
        "b=AgentUnavailable",
      "after 1s -> exec-thaw(B+B) {A} <frozen>",
      "guards -> [A:59]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "freeze/caller-leaves", FAKE_AGENT, NULL, EXEC,
    { "hold",
      "freeze a vda -> map",
      "answer -> exec-freeze(A,E+A:60s,E:60s) <freezing>",
      "left :1.1 -> a=Timeout",
      "go -> {A} exec-thaw(A+A) <thawing> {} <thawed> exec-thaw(+E)",
      "guards -> []" } },
  { "freeze/skipped", FAKE_AGENT, "E|/efi|vfat|vda A|/a|ext4|vda", EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "guards -> [A:60]",
      "state -> frozen 1:held:1+1 since",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok",
      "guards -> []" } },
  { "freeze/nothing", FAKE_AGENT, "E|/efi|vfat|vda A|/a|ext4|vdb", EXEC,
    { "freeze a vda -> map exec-freeze(E+E:60s) <freezing> a=NothingToFreeze exec-thaw(+E) "
        "<thawed>",
      "guards -> []" } },
  { "thaw/refused", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "fault exec-thaw refused",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> thaw1=AgentFailed",
      "after 1s -> exec-thaw(A+A) {} <thawed> -1:thawed",
      "guards -> []" } },
  { "thaw/no-answer", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "fault exec-thaw timeout-done",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} thaw1=AgentUnavailable",
      "after 1s -> exec-thaw(A+A) <thawed> -1:thawed",
      "guards -> []" } },
  { "brake", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "thaw-all -> 1:lost:thawed-by-other thaw <thawing> {} <thawed> all=ok exec-thaw(+A)",
      "guards -> []",
      "thaw 1 -> -1:lost thaw1=ConsistencyLost" } },

  /* guards */
  { "guard/longer-hold-joins", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "freeze b vda hold=1min -> map exec-freeze(E+A!:60s,E:60s) +2 b=2 exec-thaw(+E)",
      "guards -> [A:60]",
      "thaw 2 -> 2:thawing exec-verify(A) -2:thawed thaw2=ok exec-freeze(+A!:20s)",
      "guards -> [A:20]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok",
      "guards -> []" } },
  { "guard/shorter-hold-joins", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "freeze b vda hold=10s -> map exec-freeze(E+E:10s) +2 b=2 exec-thaw(+E)",
      "thaw 1 -> 1:thawing exec-verify(A) -1:thawed thaw1=ok exec-freeze(+A!:10s)",
      "guards -> [A:10]",
      "thaw 2 -> 2:thawing exec-thaw(A+A) <thawing> {} <thawed> -2:thawed thaw2=ok" } },
  { "guard/joins-or-fails", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "fault exec-freeze refused",
      "freeze b vda hold=1min -> map exec-freeze(E+A!:60s,E:60s) b=AgentFailed "
        "exec-freeze(+A!:20s)",
      "guards -> [A:20]",
      "after 5s -> exec-verify(A)",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "guard/renew", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "renew 1 1min -> exec-freeze(+A!:60s) 1:deadline",
      "guards -> [A:60]",
      "renew 1 30s -> 1:deadline exec-freeze(+A!:30s)",
      "guards -> [A:30]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "guard/renew-or-fails", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "fault exec-freeze refused",
      "renew 1 1min -> exec-freeze(+A!:60s) renew=AgentFailed",
      "after 5s -> exec-verify(A) exec-freeze(+A!:15s)",
      "guards -> [A:15]",
      "after 15s -> exec-verify(A) exec-verify(A) 1:lost:expired exec-thaw(A+A) <thawing> {} "
        "<thawed>" } },
  { "guard/renew-times-out", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=1min -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "hold",
      "renew 1 2min timeout=3s -> exec-freeze(+A!:120s)",
      "after 3s -> renew=Timeout",
      "go -> exec-freeze(+A!:57s)",
      "guards -> [A:57]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "guard/renew-while-it-ends", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=5s -> map exec-freeze(A,E+A:5s,E:5s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "hold",
      "renew 1 2min -> exec-freeze(+A!:120s)",
      "after 5s -> 1:lost:expired <thawing>",
      "go -> renew=ConsistencyLost exec-thaw(A+A) {} <thawed>",
      "guards -> []" } },
  { "guard/new-agent", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "agent off",
      "agent on -> exec-freeze(+A!:20s)",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "guard/reset", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "reset -> {} 1:lost:reset <thawed>",
      "freeze b vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +2 b=2 "
        "exec-thaw(+E)",
      "thaw 2 -> 2:thawing exec-thaw(A+A) <thawing> {} <thawed> -2:thawed thaw2=ok" } },
  { "guard/left-by-a-brake-and-an-agent-freeze", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "fault exec-thaw refused refused",
      "thaw-all -> 1:lost:thawed-by-other thaw <thawing> {} <thawed> all=ok exec-thaw(+A)",
      "freeze b -> exec-thaw(+A) map b=AgentUnavailable",
      "after 5s -> exec-thaw(+A)",
      "freeze c -> map freeze <freezing> {A B} <frozen> +2 c=2",
      "thaw 2 -> 2:thawing thaw <thawing> {} <thawed> -2:thawed thaw2=ok" } },
  { "guard/crash", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda hold=20s -> map exec-freeze(A,E+A:20s,E:20s) <freezing> {A} <frozen> +1 "
        "a=1 exec-thaw(+E)",
      "crash",
      "recover -> +G <frozen> +1",
      "connect -> on exec-verify(A) exec-freeze(+A!:20s)",
      "guards -> [A:20]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok",
      "guards -> []" } },
  { "crash/half-done", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "hold",
      "freeze b vdb -> map",
      "answer -> exec-freeze(B+B:60s)",
      "carry-out -> {A B}",
      "crash",
      "recover -> +G <frozen> +1 <in-doubt>",
      "connect -> on exec-thaw(B+B)",
      "go -> {A} <frozen> exec-verify(A) exec-freeze(+A!:60s)",
      "guards -> [A:60]",
      "thaw 1 -> 1:thawing exec-thaw(A+A) <thawing> {} <thawed> -1:thawed thaw1=ok" } },
  { "crash/caller-gone", FAKE_AGENT, NULL, EXEC,
    { "freeze a vda -> map exec-freeze(A,E+A:60s,E:60s) <freezing> {A} <frozen> +1 a=1 "
        "exec-thaw(+E)",
      "freeze b vdb owner=:1.2 -> map exec-freeze(B+B:60s) {A B} +2 b=2",
      "crash",
      "recover another-bus -> +G <thawing>",
      "connect -> on exec-thaw(A,B+A,B) {} <thawed>",
      "guards -> []" } },
};

int
main (int argc, char **argv)
{
  service_test_init (&argc, &argv);
  script_add_all ("lane-exec", scripts, G_N_ELEMENTS (scripts));
  return g_test_run ();
}
