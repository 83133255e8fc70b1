/* The machine layer: leave one place on the C stack and go on at another.
 *
 * What belongs here: registers, the stack pointer, and nothing else.  What never does: whose stack it
 * is, where a suspended stack is kept, Python.
 *
 * The contract, for each architecture's switch_<arch>.S:
 *
 *   void *gs_switch(void *context, void *below, gs_move *move, gs_arrive *arrive)
 *     1. Push the registers that the ABI says a callee keeps, and the floating-point control words.
 *        The stack pointer after that, `sp`, is the lowest address that this suspended place needs.
 *     2. Where `below` is a lower address than sp, set the stack pointer to it: nothing at or above
 *        either of them is written by what is called next.
 *     3. Call move(context, sp).  It returns the sp of the place to go on at - one that an earlier
 *        gs_switch or gs_start handed to its own `move` - or NULL to stay.
 *     4. If it returned NULL: go back to sp, drop what was pushed and go on in arrive(NULL).
 *     5. Set the stack pointer to what it returned, pop control words and registers and go on in
 *        arrive(context).  It is entered by a jump, with the stack as it was when gs_switch or gs_start
 *        was called there: what it returns is what that call returns.
 *
 *   void *gs_start(void *context, gs_move *move, gs_enter *enter)
 *     The same, but the new place begins where the old one ends: `move` returns the sp that it was
 *     given, or NULL to stay, and then enter(context) is called as the outermost frame of a new
 *     activity.  It must not return.  Unwinders stop there.  A start that stays returns NULL.
 *
 * `move` is where the memory of stacks may be exchanged: it runs below both places, so with the target's
 * sp for `below` it may read the one and write the other.  Only it must not touch its own frame.
 * `context` must not live on the stack that is left.  `move` must not change the floating-point control
 * words.
 *
 * Why `arrive` comes from whoever leaves, and is entered by a jump: all that lies between the caller of
 * gs_switch and the registers pushed by it is stack to copy at each switch, and a return to predict.  A
 * caller that ends in the call of gs_switch, and leaves what is to be done afterwards to `arrive`, has no
 * stack frame at all while it is suspended.
 *
 * Rejected: two calls, one before the stack pointer is moved and one after.  It is the way to do it when
 * the target's depth is not known beforehand, and costs twice as much.
 *
 * Not part of the contract: signal masks, the shadow stack of CET or GCS (a process that enforces one
 * cannot run this), and caller-saved registers, which the compiler has spilled already.
 */
#ifndef GS_SWITCH_H
#define GS_SWITCH_H

typedef void *gs_move(void *context, void *sp);
typedef void *gs_arrive(void *context);
typedef void gs_enter(void *context);

#if defined(__GNUC__)
#define GS_HIDDEN __attribute__((visibility("hidden")))
#else
#define GS_HIDDEN
#endif

GS_HIDDEN void *gs_switch(void *context, void *below, gs_move *move, gs_arrive *arrive);
GS_HIDDEN void *gs_start(void *context, gs_move *move, gs_enter *enter);

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "greenswitch runs on x86-64 and aarch64 only: there is no stack switch for this machine."
#endif

#endif
