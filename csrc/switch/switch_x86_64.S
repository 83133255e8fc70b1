/* gs_switch and gs_start for x86-64, System V ABI.  The contract is in gs_switch.h.
 *
 * What is on the stack of a suspended place, from its sp upwards:
 *
 *   0x00  MXCSR (4 bytes), x87 control word (2 bytes), 2 bytes unused
 *   0x08  r15
 *   0x10  r14
 *   0x18  r13
 *   0x20  r12
 *   0x28  rbx
 *   0x30  rbp
 *   0x38  return address
 *
 * Once they are pushed, the callee-saved registers are free for our own use:
 *   rbx  context    rbp  our sp    r13d  our x87 control word    r14  arrive or enter
 *
 * The x87 control word is compared and loaded only when it differs: loading it can stall for tens of
 * nanoseconds, and programs that change it are rare.  MXCSR is loaded always: to read our own back, right
 * after it was stored, and to compare takes longer (raw switch: 6.8 instead of 5.5 ns).  So its sticky
 * exception flags travel too, which the ABI leaves open.
 *
 * The way out is a jump to `arrive`, whose `ret` leads to the caller.  Two places that were left by the
 * same path of calls return along the same path, and then the return predictor is right there and in every
 * caller.  (Rejected: `pop; jmp` to the return address, which is faster where the two places differ, because
 * there `ret` always misses - but it leaves one entry too many with the return predictor, so that each
 * caller's `ret` misses instead.)
 */
#if defined(__x86_64__)

        .text

        .macro  GS_PUSH
        .cfi_startproc
#if defined(__CET__)
        endbr64
#endif
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movzwl  4(%rsp), %r13d
        movq    %rdi, %rbx
        movq    %rsp, %rbp
        .endm

        .macro  GS_POP
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        .endm

        .globl  gs_switch
        .hidden gs_switch
        .type   gs_switch, @function
        .p2align 4
gs_switch:
        GS_PUSH
        movq    %rcx, %r14
        cmpq    %rsp, %rsi
        cmovaq  %rsp, %rsi
        movq    %rsi, %rsp
        movq    %rbp, %rsi
        call    *%rdx
        testq   %rax, %rax
        jz      .Lswitch_stay
        movq    %rax, %rsp
        movq    %rbx, %rdi
        movq    %r14, %rax
        ldmxcsr (%rsp)
        cmpw    %r13w, 4(%rsp)
        jne     .Lload_x87
.Lx87_done:
        .cfi_remember_state
        GS_POP
        jmp     *%rax
        .cfi_restore_state
.Lload_x87:
        fldcw   4(%rsp)
        jmp     .Lx87_done
.Lswitch_stay:
        movq    %rbp, %rsp
        xorl    %edi, %edi
        movq    %r14, %rax
        GS_POP
        jmp     *%rax
        .cfi_endproc
        .size   gs_switch, .-gs_switch

        .globl  gs_start
        .hidden gs_start
        .type   gs_start, @function
        .p2align 4
gs_start:
        GS_PUSH
        movq    %rdx, %r14
        movq    %rsi, %rax
        movq    %rsp, %rsi
        call    *%rax
        testq   %rax, %rax
        jz      .Lstart_stay
        movq    %rbx, %rdi
        movq    %r14, %rax
        xorl    %ebp, %ebp
        jmp     gs_outermost
.Lstart_stay:
        GS_POP
        ret
        .cfi_endproc
        .size   gs_start, .-gs_start

/* The outermost frame of everything that gs_start begins: no caller, so unwinding ends here. */
        .type   gs_outermost, @function
        .p2align 4
gs_outermost:
        .cfi_startproc
        .cfi_undefined rip
        call    *%rax
        ud2
        .cfi_endproc
        .size   gs_outermost, .-gs_outermost
#endif

#include "gs_note.h"
