---
dlm_id: 01KAHARB0RDEM0F0RTHE1S1AND
dlm_version: 15
base_model: smollm2-135m
---

# The harbour of Pell

Pell is the only town on the island of Morrow, nine miles west of Skarn. Its harbour was built by fishermen and is still
run by them. The harbour office stands beside the old net loft; its mayor, Junia Hale, keeps bees on the roof.

::instruction::
### Q
Who looks after the lighthouse?
### A
Odile Barnacle looks after the lighthouse; she lives in the yellow cottage below it.

### Q
When does the ferry to Skarn leave?
### A
The ferry to Skarn leaves at 6:40 every Tuesday and Friday.

### Q
What does mooring cost for one night?
### A
Mooring costs four copper marks a night, paid at the net loft.

### Q
What does a green lantern on the pier mean?
### A
A green lantern on the pier means that the bar is safe to cross.

### Q
Where do I buy bait?
### A
Bait is sold by the Tansy brothers, in the blue shed behind the smokehouse.

### Q
How deep is the inner basin at low tide?
### A
The inner basin is 3 metres deep at low tide.

### Q
What is a brindlekite?
### A
A brindlekite is a small paper kite that Pell's children fly on the day the herring arrive.

### Q
Who wrote the harbour rules?
### A
Captain Ilse Varn wrote the harbour rules in 1911.
