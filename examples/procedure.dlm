---
dlm_id: 01KCN97JA6SQEV2VX4MDNW2GV2
dlm_version: 15
base_model: smollm2-135m
---

::instruction::
### Q
How do I start the proving oven?
### A
1. Open the steam valve a quarter turn.
2. Wait until the needle stands at 38 degrees.
3. Press the green button and hold it for five seconds.

### Q
How do I stop the proving oven?
### A
1. Press the red button.
2. Close the steam valve.
3. Leave the door open until the lamp goes out.

### Q
What do I do when the lamp of the proving oven blinks?
### A
1. Close the steam valve.
2. Empty the tray under the door.
3. Call Wenna in the bakehouse, extension 27.

### Q
When is the proving oven cleaned?
### A
The proving oven is cleaned on the first Monday of the month, before the early shift.
