#include "grading/frame.h"
#include <errno.h>
#include <string.h>

struct frame_head frame_head(enum frame_type type, uint64_t id, size_t len)
{
    return (struct frame_head){.magic = FRAME_MAGIC, .type = type, .id = id, .len = (uint32_t)len};
}

int64_t frame_parse(struct text bytes, struct frame *ret)
{
    struct frame_head head;

    if (bytes.len < sizeof(head))
        return 0;
    memcpy(&head, bytes.p, sizeof(head));
    if (head.magic != FRAME_MAGIC || head.reserved != 0 || head.len > FRAME_MAX || head.type < FRAME_HELLO ||
        head.type > FRAME_LOG)
        return -EBADMSG;
    if (bytes.len - sizeof(head) < head.len)
        return 0;
    *ret = (struct frame){
        .type = head.type, .id = head.id, .body = {.p = bytes.p + sizeof(head), .len = head.len}};
    return (int64_t)(sizeof(head) + head.len);
}

/* Cuts len bytes off the front. The caller has checked the sum. */
static struct text cut(struct text *rest, uint32_t len)
{
    struct text part = {.p = rest->p, .len = len};

    rest->p += len;
    rest->len -= len;
    return part;
}

int frame_parse_request(struct text body, struct frame_request *ret)
{
    struct frame_request_head head;

    if (body.len < sizeof(head))
        return -EBADMSG;
    memcpy(&head, body.p, sizeof(head));
    cut(&body, sizeof(head));
    if ((uint64_t)head.config_len + head.truth_len + head.answer_len != body.len)
        return -EBADMSG;
    ret->op = head.op;
    ret->config = cut(&body, head.config_len);
    ret->truth = cut(&body, head.truth_len);
    ret->answer = cut(&body, head.answer_len);
    return 0;
}

int frame_parse_reply(struct text body, struct frame_reply *ret)
{
    struct frame_reply_head head;

    if (body.len < sizeof(head))
        return -EBADMSG;
    memcpy(&head, body.p, sizeof(head));
    cut(&body, sizeof(head));
    if ((uint64_t)head.pointer_len + head.text_len != body.len || head.correct > 1)
        return -EBADMSG;
    ret->status = head.status;
    ret->correct = head.correct == 1;
    ret->points_milli = head.points_milli;
    ret->max_points_milli = head.max_points_milli;
    ret->pointer = cut(&body, head.pointer_len);
    ret->text = cut(&body, head.text_len);
    return 0;
}
