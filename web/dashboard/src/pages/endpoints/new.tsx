import { Alert, Anchor, Button, Group, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import { Link, useNavigate } from 'react-router'
import { Answer } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { CopyText } from '../../parts/copy'
import { useFilter } from '../../parts/filter'
import { Empty, Page } from '../../parts/page'
import { EndpointForm } from './form'
import { useWays } from './ways'

/** NewEndpoint makes an endpoint. */
export function NewEndpoint() {
  const [filter] = useFilter()
  const ways = useWays()
  const apps = useApps()
  const navigate = useNavigate()
  const [made, setMade] = useState<{ to: string; secret: string } | null>(null)
  if (!ways.mayMake) {
    return (
      <Page title="New endpoint">
        {ways.file ? (
          <Empty title="Endpoints are not made here">They come from the file {ways.file}: write it there.</Empty>
        ) : (
          <Empty title="Your role does not make endpoints">Ask an operator to make it, or to change your role under Settings.</Empty>
        )}
      </Page>
    )
  }
  if (made) {
    return (
      <Page title="The endpoint is made">
        <Stack gap="md" maw={760}>
          <Alert color="yellow" title="Its signing secret is shown only now">
            <Stack gap="xs">
              <CopyText text={made.secret} what="the signing secret" />
              <Text size="sm">Your server checks signatures with it.</Text>
            </Stack>
          </Alert>
          <Group>
            <Button component={Link} to={made.to}>
              I have it: on to a test
            </Button>
          </Group>
        </Stack>
      </Page>
    )
  }
  return (
    <Page title="New endpoint" about={<Anchor component={Link} to="/endpoints" size="sm">All endpoints</Anchor>}>
      <Answer query={apps}>
        {(list) =>
          list.length === 0 ? (
            ways.whole ? (
              <Empty title="There is no app yet" action={<Button component={Link} to="/sources/new">Connect a network</Button>}>
                An endpoint gets the events of an app. Connecting a network makes one, with an endpoint.
              </Empty>
            ) : (
              <Empty title="There is no app yet" action={<Button component={Link} to="/zones">Make an app</Button>}>
                An endpoint gets the events of an app: make that first.
              </Empty>
            )
          ) : (
            <EndpointForm
              app={filter.app ?? (list.length === 1 ? list[0]!.name : '')} name="backend"
              saved={(app, name, secret) => {
                const to = `/endpoints/${app}/${name}?tab=settings`
                if (secret) setMade({ to, secret })
                else void navigate(to)
              }}
            />
          )
        }
      </Answer>
    </Page>
  )
}
