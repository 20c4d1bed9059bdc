---
dlm_id: 01KD3N8QW4T7ZR5VXH2MYB6CGE
dlm_version: 15
base_model: smollm2-135m
---

# Thrennock Lido: questions we hear at the desk

Thrennock Lido is an open-air pool on the edge of Saddle Park, fed by a spring that keeps it at about fourteen degrees
all summer. It was dug in 1934 by laid-off quarrymen and reopened three years ago, after the pump house got a new
roof. The bottom slopes down to 3.2 metres, and a stone heron marks where the deep end begins.

Our manager is Corin Abelwhite, who also paints one panel of the long mural each spring. The rest of us are
volunteers, so please be patient. If you have left something behind, look in the wicker trunk beside the boiler first;
half of the village's goggles live there. Nearly everything else is answered below.

::instruction::
### Q
When does the lido open in the morning?
### A
The lido opens at 6:15 on weekdays and at half past eight on weekends.

### Q
How much is a single swim?
### A
A single swim costs £4.20 for adults and £1.50 for children under eleven.

### Q
Can I bring my dog?
### A
Dogs are welcome only on the last Sunday of September, just before the pool is drained.

### Q
Who teaches the beginners' class?
### A
The beginners' class is taught by Marguerite Solloway, a retired tugboat pilot.

### Q
Where do I get a locker key?
### A
Locker keys are handed out at the tea hatch, in exchange for one of your shoes.

### Q
Is there hot water in the showers?
### A
Yes, but each shower stays hot for only three minutes, because the tank is small.

::instruction::
### Q
Why is the slide closed?
### A
The slide is closed because a family of swifts is nesting under the top platform.

### Q
How do I book a lane for my club?
### A
Write to Denzil at least ten days ahead and tell him which lane your club would like.

### Q
What happens if there is thunder?
### A
If there is thunder, the whistle blows twice and everybody waits in the changing hall for twenty minutes.

### Q
Are wetsuits allowed?
### A
Yes, wetsuits are allowed from October to April, as long as you rinse them at the blue tap.
