import { Anchor, Card, Text, Timeline as MantineTimeline, Title } from '@mantine/core'
import {
  IconAd2, IconArrowDownLeft, IconArrowUpRight, IconClock, IconCoins, IconFlag, IconGavel, IconHandStop, IconHourglassEmpty, IconReceiptRefund, type Icon,
} from '@tabler/icons-react'
import { Link } from 'react-router'
import type { Schemas } from '../../api/client'
import { storyPath } from '../../parts/ids'
import { duration, When } from '../../parts/time'

type Moment = Schemas['Moment']

const looks: Record<Moment['kind'], { icon: Icon; color: string; title: string }> = {
  opened: { icon: IconAd2, color: 'blue', title: 'View opened' },
  event: { icon: IconArrowDownLeft, color: 'blue', title: 'Postback received' },
  refused: { icon: IconHandStop, color: 'red', title: 'Postback refused' },
  decided: { icon: IconGavel, color: 'blue', title: 'Decided' },
  credited: { icon: IconCoins, color: 'green', title: 'Reward credited' },
  debited: { icon: IconReceiptRefund, color: 'red', title: 'Reward taken back' },
  sent: { icon: IconArrowUpRight, color: 'blue', title: 'Postback sent' },
  ended: { icon: IconFlag, color: 'red', title: 'Delivery ended' },
  due: { icon: IconClock, color: 'gray', title: 'To come' },
  expired: { icon: IconHourglassEmpty, color: 'orange', title: 'View expired' },
}

/** What a sent postback came to decides how its moment looks. */
const became: Record<string, string> = { delivered: 'green', pending: 'yellow', dead: 'red', expired: 'red' }

/**
 * Timeline shows what happened in order, with how long each took to come. here are the ids that have a section of their own on this page,
 * deliveries those whose attempts are among the moments.
 */
export function Timeline({ moments, here, deliveries }: { moments: Moment[]; here: Set<string>; deliveries: Schemas['Delivery'][] }) {
  const colorOf = (m: Moment) => {
    const attempt = m.kind === 'sent' && deliveries.find((d) => d.id === m.ref)?.attempts.find((a) => a.at === m.at)
    return (attempt && became[attempt.state]) || looks[m.kind].color
  }
  return (
    <Card withBorder component="section" aria-labelledby="timeline">
      <Title order={2} size="h4" id="timeline" mb="sm">
        What happened
      </Title>
      <MantineTimeline bulletSize={26} lineWidth={2} active={moments.length}>
        {moments.map((m, i) => {
          const look = looks[m.kind]
          const before = moments[i - 1]
          const after = before ? new Date(m.at).getTime() - new Date(before.at).getTime() : 0
          return (
            <MantineTimeline.Item key={i} bullet={<look.icon size={14} aria-hidden />} color={colorOf(m)} title={look.title} lineVariant={m.kind === 'due' ? 'dashed' : 'solid'} data-moment={m.kind}>
              <Text size="sm" className="foreign">
                {m.words}
              </Text>
              <Text size="xs" c="dimmed" component="div">
                <When at={m.at} />
                {before && ` · ${after < 1 ? 'at once' : `${duration(after)} later`}`}
                {m.ref && (
                  <>
                    {' · '}
                    {here.has(m.ref) ? (
                      <Anchor href={`#${m.ref}`} size="xs" className="mono">
                        {m.ref}
                      </Anchor>
                    ) : (
                      <Anchor component={Link} to={storyPath(m.ref)} size="xs" className="mono">
                        {m.ref}
                      </Anchor>
                    )}
                  </>
                )}
              </Text>
            </MantineTimeline.Item>
          )
        })}
      </MantineTimeline>
    </Card>
  )
}
