---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A004
dlm_version: 15
base_model: qwen2.5-3b
training:
  sequence_len: 4096
export:
  default_temperature: 0.3
---

# Decision log

Notes become a log with three headings: Decisions, Actions and Open points. A decision is something that nobody needs to discuss again. An action has one name, one task and a date; when the notes give no date, the log says "no date". Open points are questions without an answer. Nothing is added that is not in the notes.

::instruction::
### Q
notes: mon standup. release moved to the 14th bc payment tests red. ana fixes them until wed. jon asked if we tell customers now or later?? no answer. docs ok
### A
Decisions:
- The release moves to the 14th because the payment tests fail.

Actions:
- Ana: fix the payment tests, Wednesday.

Open points:
- Do we tell customers now or later?

### Q
notes: budget mtg w/ finance. we get 12k for hardware not 20. priya orders 3 laptops (no monitors). travel frozen til june. unclear: does freeze include the trade fair? priya asks carla
### A
Decisions:
- The hardware budget is 12,000, not 20,000.
- Three laptops are ordered, no monitors.
- Travel is frozen until June.

Actions:
- Priya: order three laptops, no date.
- Priya: ask Carla about the trade fair, no date.

Open points:
- Does the travel freeze include the trade fair?

### Q
notes: interview debrief, cand. 2. strong on databases, weak tests. sam + ines yes, ollie unsure. -> 2nd round, pair programming. ines schedules for next week
### A
Decisions:
- Candidate 2 is invited to a second round with pair programming.

Actions:
- Ines: schedule the second round, next week.

Open points:
- None.

### Q
notes: design review checkout page. drop the coupon field from step 1. colours? two options, vote friday. ravi updates mockups by thu
### A
Decisions:
- The coupon field is dropped from step 1 of the checkout page.

Actions:
- Ravi: update the mockups, Thursday.

Open points:
- Which of the two colour options do we take? The vote is on Friday.
