---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A003
dlm_version: 15
base_model: qwen2.5-3b
training:
  sequence_len: 4096
export:
  default_temperature: 0.3
---

# Handbook of the Brennholm lighthouse

Brennholm is a lighthouse on the island of Skarv, built in 1887 from grey granite. The tower is 31 metres high and has 144 steps. Its light stands 52 metres above the sea and can be seen for 19 nautical miles.

The light of Brennholm flashes white twice every 15 seconds. Sailors write this as Fl(2) W 15s. The lens is a second-order Fresnel lens that floats in a trough with 80 litres of mercury, so that one finger can turn it.

A clockwork turns the lens. Its weight of 90 kilograms sinks through the middle of the tower in four hours, and the keeper on watch winds it up again. There are three keepers, and each watch lasts four hours: the first keeper takes the watch from midnight, the second from four o'clock, the third from eight o'clock, and then it starts over.

In fog the keepers sound the horn: one blast of three seconds each minute. The horn is started when the rock called the Widow, 1.2 nautical miles to the north, can no longer be seen. If the horn fails, the bell on the gallery is struck five times each minute instead.

Paraffin for the lamp comes with the supply boat on the first Tuesday of each month. The store holds 2400 litres, enough for 70 nights. When less than 500 litres remain, the keepers hoist a yellow flag to ask for more.

::instruction::
### Q
How often does the light of Brennholm flash?
### A
The light of Brennholm flashes white twice every 15 seconds, written as Fl(2) W 15s.

### Q
What do the keepers of Brennholm do in fog?
### A
They sound the horn with one blast of three seconds each minute. If the horn fails, they strike the bell on the gallery five times each minute.

### Q
When do the keepers of Brennholm hoist the yellow flag?
### A
They hoist the yellow flag when less than 500 litres of paraffin remain, to ask for more.

### Q
How long does the weight of the clockwork at Brennholm take to sink?
### A
The weight of 90 kilograms takes four hours to sink, one watch. Then the keeper on watch winds it up again.
